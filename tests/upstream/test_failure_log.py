"""Why a provider cannot be reached: one warning an attempt for the operator, a sentence without addresses for the caller."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from adapters import GatewayError, Kind
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Grant, Timeouts, Upstream
from tests.gateway.in_process import Core, to
from tests.processes import free_port, reached
from tests.upstream.raw import Answer, bundle, never, raw_server, says

KEY = "sk-canary-0123456789"
SECRET = "the-answer-of-the-provider"


@dataclass(frozen=True, slots=True)
class Tls:
    folder: Path
    ca: trustme.CA

    @property
    def ca_file(self) -> str:
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(path))
        return str(path)

    def server(self, name: str, *, wants_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(name).configure_cert(context)
        if wants_certificate:
            self.ca.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    return Tls(tmp_path, trustme.CA())


def upstream(url: str, ca_file: str | None = None, **fields: Any) -> Upstream:
    if ca_file is not None:
        fields["ca_file"] = bundle(ca_file)
    return Upstream(provider="openai", model="gpt-test", base_url=url, key=Secret(KEY), **fields)


@asynccontextmanager
async def core(to_upstream: Upstream, timeouts: Timeouts | None = None) -> AsyncIterator[Core]:
    route = to(to_upstream).routes["chat"]
    route = replace(route, retries=replace(route.retries, budget=0), timeouts=timeouts or Timeouts(connect_s=2.0))
    snapshot = replace(to(to_upstream), routes={"chat": route})
    async with Core(snapshot) as running:
        yield running


async def warned(
    caplog: pytest.LogCaptureFixture, failing: Upstream, timeouts: Timeouts | None = None, *, stream: bool = False
) -> tuple[str, str]:
    """The one line in the log, and what the caller reads."""
    caplog.clear()
    async with core(failing, timeouts) as running:
        with pytest.raises(GatewayError) as caught:
            await running.ask(stream)
    (record,) = [each for each in caplog.records if each.name.startswith("sidecar")]
    assert record.levelno == logging.WARNING
    line = record.getMessage()
    assert KEY not in line
    assert "\n" not in line
    assert line.startswith("upstream openai of route chat (")
    assert line.endswith(f"[{caught.value.kind.value}, request request-1]")
    return line, caught.value.message


NO_CONNECTION = "Cannot connect to the provider."
TLS_REFUSED = "The provider's TLS certificate or handshake was refused."
NO_PROXY = "The proxy refused to connect to the provider."


async def test_a_name_nobody_has_and_a_port_nobody_listens_on(caplog: pytest.LogCaptureFixture) -> None:
    line, message = await warned(caplog, upstream("http://no-such-host.invalid/v1"))
    assert message == NO_CONNECTION
    assert "(no-such-host.invalid) failed after" in line
    assert ", name: The name no-such-host.invalid has no address. Name or service not known (-2)." in line
    port = free_port()
    line, message = await warned(caplog, upstream(f"http://127.0.0.1:{port}/v1"))
    assert message == NO_CONNECTION
    assert f"(127.0.0.1:{port})" in line
    assert f"connect: 127.0.0.1 did not accept a connection on port {port}. Connection refused (ECONNREFUSED)." in line


async def test_what_tls_does_not_like(caplog: pytest.LogCaptureFixture, tls: Tls) -> None:
    async def answer_to(context: ssl.SSLContext, ca_file: str | None) -> tuple[str, str]:
        async with raw_server(b"", tls=context) as server:
            return await warned(caplog, upstream(f"https://localhost:{server.port}/v1", ca_file=ca_file))

    line, message = await answer_to(tls.server("localhost"), None)
    assert message == TLS_REFUSED
    assert ", tls: The handshake failed. unable to get local issuer certificate (20)." in line
    line, message = await answer_to(tls.server("elsewhere.example"), tls.ca_file)
    assert message == TLS_REFUSED
    assert "Hostname mismatch, certificate is not valid for 'localhost'. (62)." in line
    (tls.folder / "cut.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    line, message = await answer_to(tls.server("localhost"), str(tls.folder / "cut.pem"))
    assert "cut.pem cannot be read." in line
    assert message.startswith("The file of CA certificates")


@pytest.mark.parametrize("word", ["CERTIFICATE_REQUIRED", "PROTOCOL_VERSION"])
async def test_a_provider_that_ends_the_handshake_with_an_alert(
    caplog: pytest.LogCaptureFixture, tls: Tls, word: str
) -> None:
    """It wants a client certificate, of which by TLS 1.3 the client hears in place of an answer; or an old protocol."""
    context = tls.server("localhost", wants_certificate=word == "CERTIFICATE_REQUIRED")
    if word == "PROTOCOL_VERSION":
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.maximum_version = ssl.TLSVersion.TLSv1_1

    def serve_one(
        listener: socket.socket,
    ) -> None:  # OpenSSL by itself: asyncio's server closes before the alert is out
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
            with pytest.raises(ssl.SSLError):
                secured.do_handshake()
            socket.socket.shutdown(secured, socket.SHUT_WR)
            while socket.socket.recv(
                secured, 65536
            ):  # closed with bytes unread it would be a reset, and the alert lost
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(asyncio.to_thread(serve_one, listener))
        url = f"https://localhost:{listener.getsockname()[1]}/v1"
        line, _ = await warned(caplog, upstream(url, ca_file=tls.ca_file))
        await serving
    assert word in line


_ROUNDED_S = 0.005  # to two digits
NEEDS_USER = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_password_or_is_not_there(caplog: pytest.LogCaptureFixture, scheme: str) -> None:
    async with raw_server(NEEDS_USER) as proxy:
        failing = upstream(f"{scheme}://provider.example/v1", proxy=f"http://127.0.0.1:{proxy.port}")
        line, message = await warned(caplog, failing)
    assert message == NO_PROXY
    assert ", proxy: The proxy answered 407: it requires a user and a password. [" in line
    line, message = await warned(caplog, replace(failing, proxy=f"http://127.0.0.1:{proxy.port}"))
    assert message == NO_PROXY
    assert f"proxy: Cannot connect to the proxy 127.0.0.1:{proxy.port}. 127.0.0.1 did not accept a connection" in line
    assert "ECONNREFUSED" in line


def ok(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(b"%b\r\n" % each for each in headers)
    return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b" % (lines, len(body), body)


SECRET_BYTES = SECRET.encode()
# What the provider answers; the words in the log; what the caller reads.
ANSWERS: dict[str, tuple[Answer | bytes, str, str]] = {
    "unknown coding": (
        ok(SECRET_BYTES, b"content-encoding: br"),
        "body: Unsupported content-encoding: br.",
        "The provider's answer uses a compression that the gateway does not support.",
    ),
    "broken gzip": (
        ok(SECRET_BYTES, b"content-encoding: gzip"),
        "body: The data is damaged.",
        "The provider's answer cannot be decompressed.",
    ),
    "large head": (
        ok(b"{}", b"x: " + b"a" * 17_000),
        "answer: A header is longer than 16384 bytes.",
        "The head of the provider's answer is too large.",
    ),
    "not HTTP": (
        b"SSH-2.0-" + SECRET_BYTES + b"\r\n",
        "answer: The status line is not HTTP/1.1.",
        "The provider's answer is not HTTP.",
    ),
    "closes": (
        says(b"", then_close=True),
        "answer: The connection ended before the head.",
        "The provider closed the connection without an answer.",
    ),
    "resets": (says(b"", then_reset=True), "(ECONNRESET).", "The provider closed the connection without an answer."),
    "cut": (
        says(ok(SECRET_BYTES)[:-3], then_close=True),
        "body: The connection ended before the body.",
        "The provider's answer broke off.",
    ),
    "no JSON": (ok(b"<html>"), "answer: ", ""),
    "redirect": (
        b"HTTP/1.1 307 Moved\r\nlocation: https://elsewhere.example/%b\r\ncontent-length: 0\r\n\r\n" % SECRET_BYTES,
        "answer: It answered 307: ",
        "The provider answered with a redirect, which is not followed.",
    ),
    "503": (
        b'HTTP/1.1 503 No\r\ncontent-length: 36\r\n\r\n{"error":{"message":"at\\ncapacity"}}  '[:-1],
        "answer: It answered 503: ",
        "",
    ),
}


@pytest.mark.parametrize("what", ANSWERS)
async def test_what_is_no_answer(caplog: pytest.LogCaptureFixture, what: str) -> None:
    answer, words, sentence = ANSWERS[what]
    async with raw_server(answer) as server:
        line, message = await warned(caplog, upstream(f"http://127.0.0.1:{server.port}/v1"))
    assert words in line
    assert sentence in message
    assert SECRET not in line
    assert f"(127.0.0.1:{server.port})" in line


async def test_a_provider_that_is_late(caplog: pytest.LogCaptureFixture) -> None:
    timeouts = Timeouts(connect_s=2.0, first_output_s=0.3, idle_s=0.3, total_s=0.3)
    async with raw_server(never) as server:
        for stream in (False, True):
            begun_s = time.monotonic()
            line, message = await warned(
                caplog, upstream(f"http://127.0.0.1:{server.port}/v1"), timeouts, stream=stream
            )
            took_s = time.monotonic() - begun_s
            assert "in time" in message
            assert message in line
            # What the log says is what it took: at least the timeout, and as much more as this process was held up.
            found = re.search(r"failed after (\d+\.\d\d) s", line)
            assert found is not None
            assert 0.3 <= float(found[1]) <= took_s + _ROUNDED_S


async def test_a_stream_that_breaks_off_after_its_first_output(caplog: pytest.LogCaptureFixture) -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n"
    async with raw_server(says(head, event, then_close=True)) as server:
        line, _ = await warned(caplog, upstream(f"http://127.0.0.1:{server.port}/v1"), stream=True)
    assert ", body: The connection ended before the body. [upstream_interrupted" in line


async def test_a_token_service_that_is_not_there(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    grant = Grant(f"http://127.0.0.1:{port}/token", (("grant_type", "client_credentials"),), client_id="me")
    caplog.set_level(logging.WARNING)
    async with core(upstream("http://provider.example/v1", grant=grant)) as running:
        with pytest.raises(GatewayError) as caught:
            await running.chat()
    assert caught.value.message == "Cannot connect to the provider's token service."
    fetch, attempt = [each.getMessage() for each in caplog.records if each.name.startswith("sidecar")]
    assert fetch.startswith(
        f"cannot fetch a token from http://127.0.0.1:{port}/token: No answer from 127.0.0.1:{port}."
    )
    assert f", token: No answer from 127.0.0.1:{port}." in attempt
    assert "ECONNREFUSED" in attempt


async def test_a_failure_for_the_requests_own_sake_is_the_callers_and_in_no_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = b'{"error":{"message":"bad %b"}}' % SECRET_BYTES
    answer = b"HTTP/1.1 400 Bad\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    async with raw_server(answer) as server, core(upstream(f"http://127.0.0.1:{server.port}/v1")) as running:
        with pytest.raises(GatewayError, match=SECRET):
            await running.chat()
    assert SECRET not in caplog.text


async def test_a_flood_of_failures_is_a_few_lines_and_a_count(caplog: pytest.LogCaptureFixture) -> None:
    async with core(upstream(f"http://127.0.0.1:{free_port()}/v1")) as running:
        results = await asyncio.gather(*(running.chat() for _ in range(300)), return_exceptions=True)
        assert all(isinstance(each, GatewayError) and each.kind is Kind.UPSTREAM_UNAVAILABLE for each in results)

        def lines(word: str) -> list[str]:
            return [text for each in caplog.records if word in (text := each.getMessage())]

        await reached(lambda: bool(lines("more failed attempts")), what="the count of the second")
        counted = sum(int(line.split(": ")[1].split(" ")[0]) for line in lines("more failed attempts"))
        assert len(lines("failed after")) <= 10
        assert len(lines("failed after")) + counted == 300

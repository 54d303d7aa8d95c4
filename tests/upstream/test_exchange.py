"""Calls over real sockets: what is an answer, what is not, and what is never another call's."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re

import pytest

from adapters import GatewayError, Kind
from sidecar.upstream.failures import BadHead, BodyBroken, Failure
from tests.processes import reached
from tests.upstream.raw import OK, a_client, fetch, opened, raw_server, says, whole

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

TAKEN = {
    "length": (OK, b"ok", True),
    "chunks": (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"ok", True),
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\nx-t: 1\r\n\r\n", b"ok", True),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK, b"ok", True),
    "close": (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
    "a second answer nobody asked for": (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond", b"ok", False),
    "a keep-alive that is over": (OK.replace(b"\r\n\r\n", b"\r\nkeep-alive: timeout=1\r\n\r\n"), b"ok", False),
    "gzip": (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(gzip.compress(b"ok"))
             + gzip.compress(b"ok"), b"ok", True),
}  # fmt: skip


@pytest.mark.parametrize(("wire", "body", "stays"), TAKEN.values(), ids=TAKEN)
async def test_an_answer_is_read_and_its_connection_used_again_only_if_it_is_clean(
    wire: bytes, body: bytes, stays: bool
) -> None:
    async with raw_server(wire) as server, a_client() as client:
        for _ in range(3):
            assert await fetch(client, server.port) == (200, body)
        assert server.connections == (1 if stays else 3)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_body_without_a_length_is_whole_only_if_the_connection_ends_in_order(end: str) -> None:
    answer = says(b"HTTP/1.1 200 OK\r\n\r\n", b"all of it", then_close=end == "close", then_reset=end == "reset")
    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        if end == "close":
            assert await whole(response) == b"all of it"
        else:
            with pytest.raises(GatewayError) as caught:
                await whole(response)
            assert caught.value.kind is Kind.UPSTREAM_INTERRUPTED


NO_HTTP = "The provider's answer is not HTTP."
TOO_LARGE = "The head of the provider's answer is too large."
REFUSED = {
    "length and chunked": (CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\n") + b"2\r\nok\r\n0\r\n\r\n", NO_HTTP),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", NO_HTTP),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", NO_HTTP),
    "a folded line": (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok", NO_HTTP),
    "junk": (b"SSH-2.0-x\r\n", NO_HTTP),
    "switched protocols": (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", NO_HTTP),
    "a head without end": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, TOO_LARGE),
    "a long header": (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 17_000 + b"\r\ncontent-length: 2\r\n\r\nok", TOO_LARGE),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1_000 + b"content-length: 2\r\n\r\nok", TOO_LARGE),
    "many interim answers": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + OK,
                             "The provider sent too many informational responses."),
}  # fmt: skip


@pytest.mark.parametrize(("wire", "text"), REFUSED.values(), ids=REFUSED)
async def test_an_answer_that_is_none_is_refused_at_once_and_its_connection_closed(wire: bytes, text: str) -> None:
    """The server waits for the client to go: nothing here ends by a timeout."""
    async with raw_server(wire) as server, a_client() as client:
        async with asyncio.timeout(5):
            with pytest.raises(GatewayError) as caught:
                await opened(client, server.port)
        assert (caught.value.kind, caught.value.message) == (Kind.UPSTREAM_PROTOCOL, text)
        assert isinstance(caught.value.__cause__, Failure), "the log can say why"
        await reached(lambda: server.open == 0)
        assert len(server.requests) == 1, "not sent twice"


@pytest.mark.parametrize("rest", [b"zz\r\n", b"2\nok", b"2\r\nokay\r\n", b"0\r\nx : y\r\n\r\n"])
async def test_what_came_before_broken_framing_is_read_before_the_failure(rest: bytes) -> None:
    async with raw_server(CHUNKED + b"4\r\ngood\r\n" + rest) as server, a_client() as client:
        response = await opened(client, server.port)
        assert (await response.read_some()).startswith(b"good")
        with pytest.raises(GatewayError) as caught:
            await whole(response)
        assert (caught.value.kind, caught.value.message) == (
            Kind.UPSTREAM_INTERRUPTED,
            "The provider's answer broke off.",
        )
        assert isinstance(caught.value.__cause__, BodyBroken)
        await reached(lambda: server.open == 0)


async def test_what_arrived_in_one_read_leaves_in_one_piece() -> None:
    chunks = b"".join(b"%x\r\ndata: %d\n\n\r\n" % (len(f"data: {i}\n\n"), i) for i in range(20))
    async with raw_server(says(CHUNKED, chunks, b"0\r\n\r\n")) as server, a_client() as client:
        response = await opened(client, server.port)
        assert (await response.read_some()).count(b"data:") == 20
        assert await response.read_some() == b""
        assert response.ended
        response.close()


async def test_bytes_on_an_idle_connection_close_it_and_are_nobodys_answer() -> None:
    async with raw_server(OK) as server, a_client() as client:
        assert await fetch(client, server.port) == (200, b"ok")
        server.writers[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond")
        await reached(lambda: server.open == 0)
        assert await fetch(client, server.port) == (200, b"ok")
        assert server.connections == 2


async def test_a_redirect_is_handed_over_and_not_followed_and_cookies_are_not_kept() -> None:
    wire = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    async with raw_server(wire) as server, a_client() as client:
        for _ in range(2):
            assert (await fetch(client, server.port))[0] == 302
        assert [request.head.split()[1] for request in server.requests] == [b"/v1/chat/completions"] * 2
        assert "cookie" not in server.requests[1].headers


async def test_the_request_says_what_it_must_and_nothing_else() -> None:
    async with raw_server(OK) as server, a_client() as client:
        await fetch(client, server.port, path="/v1/x y/ü?api-version=1", body=b"{}")
        head = server.requests[0].head
        assert head.startswith(b"POST /v1/x%20y/%C3%BC?api-version=1 HTTP/1.1\r\n")
        assert server.requests[0].headers == {
            "host": f"127.0.0.1:{server.port}",
            "content-type": "application/json",
            "authorization": "Bearer sk-canary-0123456789",
            "accept-encoding": "identity",
            "user-agent": "llm-gateway-sidecar",
            "content-length": "2",
        }
        own = (("User-Agent", "mine"), ("Accept-Encoding", "gzip"), ("Host", "other"), ("Content-Length", "9"))
        await fetch(client, server.port, headers=own)
        seen = server.requests[1].headers
        assert (seen["user-agent"], seen["accept-encoding"]) == ("mine", "gzip")
        assert (seen["host"], seen["content-length"]) == (f"127.0.0.1:{server.port}", "2")


@pytest.mark.parametrize("value", ["a\r\nx-injected: 1", "a\nb", "a\rb", "a\0b", "☃"])
async def test_a_header_that_would_break_the_request_is_not_sent(value: str) -> None:
    async with raw_server(OK) as server, a_client() as client:
        with pytest.raises(GatewayError) as caught:
            await fetch(client, server.port, headers=(("x", value),))
        assert caught.value.kind is Kind.INTERNAL
        assert value not in caught.value.message
        assert server.connections == 0


async def test_nothing_of_headers_or_bodies_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wires = [
        b"HTTP/1.1 200 OK\r\nx: sk-canary-answer\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: sk-canary-answer\r\ncontent-length: 9\r\n\r\n",
    ]
    async with a_client() as client:
        for wire in wires:
            async with raw_server(wire, then_close=True) as server:
                with pytest.raises(GatewayError) as caught:
                    await fetch(client, server.port)
                causes = repr(
                    [caught.value, caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None)]
                )
                assert not re.search("canary", causes + caplog.text)


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_a_connection_that_ends_before_the_head_is_an_answer_that_never_came(after: bytes, end: str) -> None:
    answer = says(after, b"", then_close=end == "close", then_reset=end == "reset")
    async with raw_server(answer) as server, a_client() as client:
        with pytest.raises(GatewayError) as caught:
            await opened(client, server.port)
        assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
        assert caught.value.message == "The provider closed the connection without an answer."
        assert len(server.requests) == 1


async def test_the_cause_is_kept_for_the_log() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nx : a\r\n\r\n") as server, a_client() as client:
        with pytest.raises(GatewayError) as caught:
            await opened(client, server.port)
        assert isinstance(caught.value.__cause__, BadHead)
        assert caught.value.__cause__.reason

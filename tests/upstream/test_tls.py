"""TLS to providers: verified by name and by the CA the route names, with and without a proxy between."""

from __future__ import annotations

import asyncio
import base64
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from adapters import GatewayError, Kind
from tests.processes import reached
from tests.scale import scaled
from tests.upstream.raw import OK, Request, a_client, fetch, opened, raw_server, says, sockets, whole

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
TLS_REFUSED = (Kind.UPSTREAM_UNAVAILABLE, "The provider's TLS certificate or handshake was refused.")
PROXY_REFUSED = (Kind.UPSTREAM_UNAVAILABLE, "The proxy refused to connect to the provider.")


@dataclass(frozen=True, slots=True)
class Authority:
    ca: trustme.CA
    ca_file: str

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return Authority(ca, str(path))


async def failure(call: Any) -> tuple[Kind, str]:
    with pytest.raises(GatewayError) as caught:
        await call
    return caught.value.kind, caught.value.message


async def test_a_server_of_the_named_ca_is_trusted_and_its_connection_kept(authority: Authority) -> None:
    async with raw_server(OK, tls=authority.server("127.0.0.1", "localhost")) as server, a_client() as client:
        for host in ("127.0.0.1", "localhost"):
            for _ in range(3):
                answer = await fetch(client, server.port, scheme="https", host=host, ca_file=authority.ca_file)
                assert answer == (200, b"ok")
        assert server.connections == 2


async def test_the_server_hears_the_name_it_is_asked_by(authority: Authority) -> None:
    context = authority.server("localhost")
    names: list[str | None] = []
    context.sni_callback = lambda sock, name, ctx: names.append(name)
    async with raw_server(OK, tls=context) as server, a_client() as client:
        await fetch(client, server.port, scheme="https", host="localhost", ca_file=authority.ca_file)
    assert names == ["localhost"]


async def test_another_name_or_another_ca_is_refused_and_hears_no_key(authority: Authority, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    async with raw_server(OK, tls=authority.server("elsewhere.example")) as server, a_client() as client:
        for ca_file in (authority.ca_file, str(other), None):
            for host in ("127.0.0.1", "localhost"):
                call = fetch(client, server.port, scheme="https", host=host, ca_file=ca_file)
                assert await failure(call) == TLS_REFUSED
        assert server.requests == []


async def test_an_old_protocol_is_refused(authority: Authority) -> None:
    context = authority.server("127.0.0.1")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    async with raw_server(OK, tls=context) as server, a_client() as client:
        call = fetch(client, server.port, scheme="https", ca_file=authority.ca_file)
        assert await failure(call) == TLS_REFUSED


async def test_a_server_that_speaks_no_tls_ends_with_the_handshake_or_the_time_to_connect(authority: Authority) -> None:
    async with raw_server(OK) as server, a_client() as client:
        began = asyncio.get_running_loop().time()
        call = fetch(client, server.port, scheme="https", ca_file=authority.ca_file, connect_s=0.3)
        kind, _ = await failure(call)
        assert kind is Kind.UPSTREAM_TIMEOUT
        assert asyncio.get_running_loop().time() - began < 5
        await reached(lambda: server.open == 0, what="the socket of a handshake that was given up is closed")


async def test_bodies_are_whole_over_tls(authority: Authority) -> None:
    body = bytes(range(256)) * (20 << 12)

    async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(request.body))
        writer.write(request.body)
        await writer.drain()

    tls = authority.server("127.0.0.1")
    fields: dict[str, Any] = {"scheme": "https", "ca_file": authority.ca_file}
    async with raw_server(echo, tls=tls) as server, a_client() as client:
        for _ in range(2):
            assert await fetch(client, server.port, body=body, **fields) == (200, body)
        assert server.connections == 1
    async with raw_server(says(b"HTTP/1.1 200 OK\r\n\r\n", b"all of it", then_close=True), tls=tls) as server:
        async with a_client() as client:
            assert await fetch(client, server.port, **fields) == (200, b"all of it")


@pytest.mark.parametrize("wire", [CHUNKED + b"4\r\nhalf\r\n", OK[:-1], b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_a_cut_over_tls_is_a_failure(authority: Authority, wire: bytes) -> None:
    answer = says(wire, then_close=True)
    async with raw_server(answer, tls=authority.server("127.0.0.1")) as server, a_client() as client:
        kind, _ = await failure(fetch(client, server.port, scheme="https", ca_file=authority.ca_file))
        assert kind in (Kind.UPSTREAM_INTERRUPTED, Kind.UPSTREAM_UNAVAILABLE)


async def test_leaving_closes_the_socket_over_tls_within_a_turn_of_the_loop(authority: Authority) -> None:
    late = 0
    answer = says(CHUNKED + b"3\r\none\r\n")
    async with raw_server(answer, tls=authority.server("127.0.0.1")) as server, a_client() as client:
        for _ in range(scaled(100, 20)):
            response = await opened(client, server.port, scheme="https", ca_file=authority.ca_file)
            assert await response.read_some() == b"one"
            before = sockets()
            response.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            late += sockets() >= before
        await reached(lambda: server.open == 0)
    assert late == 0


@dataclass(slots=True)
class Proxy:
    """Forwards what it is told to, or answers `refusal`. `heads` are the requests that it read."""

    target: int
    refusal: bytes = b""
    surplus: bytes = b""
    port: int = 0
    open: int = 0
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.refusal:
                writer.write(self.refusal)
                return
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
            if head.startswith(b"CONNECT "):
                writer.write(b"HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n" + self.surplus)
            else:
                forth.write(head)
            try:
                await asyncio.gather(pumped(reader, forth), pumped(back, writer))
            finally:
                forth.close()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()


async def pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def a_proxy(target: int, tls: ssl.SSLContext | None = None, **fields: Any) -> AsyncIterator[Proxy]:
    proxy = Proxy(target, **fields)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


async def test_a_proxy_tunnels_https_and_hears_nothing_of_it(authority: Authority) -> None:
    async with raw_server(OK, tls=authority.server("localhost")) as server, a_proxy(server.port) as proxy:
        async with a_client() as client:
            for _ in range(3):
                answer = fetch(
                    client, server.port, scheme="https", host="localhost", ca_file=authority.ca_file, proxy=proxy.url
                )
                assert await answer == (200, b"ok")
            name = f"localhost:{server.port}".encode()
            assert proxy.heads == [b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (name, name)]
            assert len(server.requests) == 3
        await reached(lambda: proxy.open == 0)


async def test_a_name_is_verified_through_a_proxy_too(authority: Authority) -> None:
    async with raw_server(OK, tls=authority.server("elsewhere.example")) as server, a_proxy(server.port) as proxy:
        async with a_client() as client:
            call = fetch(
                client, server.port, scheme="https", host="localhost", ca_file=authority.ca_file, proxy=proxy.url
            )
            assert await failure(call) == TLS_REFUSED
            assert server.requests == []
            await reached(lambda: proxy.open == 0)


async def test_a_proxy_forwards_http_in_absolute_form() -> None:
    async with raw_server(OK) as server, a_proxy(server.port) as proxy, a_client() as client:
        assert await fetch(client, server.port, host="provider.example", proxy=proxy.url) == (200, b"ok")
        where = f"provider.example:{server.port}".encode()
        assert proxy.heads[0].startswith(
            b"POST http://%s/v1/chat/completions HTTP/1.1\r\nHost: %s\r\n" % (where, where)
        )


async def test_a_proxy_is_told_its_user_and_password_and_the_provider_is_not(authority: Authority) -> None:
    expected = b"Proxy-Authorization: Basic " + base64.b64encode("us@er:p:w\u00e9".encode())
    async with raw_server(OK, tls=authority.server("localhost")) as server, a_proxy(server.port) as proxy:
        url = proxy.url.replace("http://", "http://us%40er:p%3Aw%C3%A9@")
        async with a_client() as client:
            fields: dict[str, Any] = {
                "scheme": "https",
                "host": "localhost",
                "ca_file": authority.ca_file,
                "proxy": url,
            }
            assert await fetch(client, server.port, **fields) == (200, b"ok")
        assert expected in proxy.heads[0]
        assert not any(b"Proxy-Authorization" in str(request).encode() for request in server.requests)
    async with raw_server(OK) as server, a_proxy(server.port) as proxy, a_client() as client:
        url = proxy.url.replace("http://", "http://us%40er:p%3Aw%C3%A9@")
        assert await fetch(client, server.port, host="provider.example", proxy=url) == (200, b"ok")
        assert expected in proxy.heads[0]


async def test_a_proxy_may_itself_be_behind_tls(authority: Authority) -> None:
    tls = authority.server("127.0.0.1", "localhost")
    async with raw_server(OK, tls=tls) as server, a_proxy(server.port, tls) as proxy, a_client() as client:
        url = proxy.url.replace("http://", "https://")
        answer = fetch(client, server.port, scheme="https", ca_file=authority.ca_file, proxy=url)
        assert await answer == (200, b"ok")


REFUSALS = [
    b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 2\r\n\r\nno",
    b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n",
    b"SSH-2.0-x\r\n",
    b"HTTP/1.1 2",
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_what_a_proxy_says_instead_of_connecting_is_no_answer_of_the_provider(
    authority: Authority, refusal: bytes
) -> None:
    async with a_proxy(1, refusal=refusal) as proxy, a_client() as client:
        call = fetch(client, 443, scheme="https", host="provider.example", ca_file=authority.ca_file, proxy=proxy.url)
        assert await failure(call) == PROXY_REFUSED
        await reached(lambda: proxy.open == 0)


async def test_a_proxy_that_speaks_before_the_handshake_is_refused(authority: Authority) -> None:
    async with raw_server(OK, tls=authority.server("localhost")) as server:
        async with a_proxy(server.port, surplus=b"HTTP/1.1 200 OK\r\n\r\n") as proxy, a_client() as client:
            call = fetch(
                client, server.port, scheme="https", host="localhost", ca_file=authority.ca_file, proxy=proxy.url
            )
            assert await failure(call) in (PROXY_REFUSED, TLS_REFUSED)
            assert server.requests == []


async def test_a_proxy_that_hangs_ends_with_the_time_to_connect(authority: Authority) -> None:
    async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
        pass

    async with raw_server(hang) as server, a_client() as client:
        call = fetch(
            client, 443, scheme="https", host="provider.example", ca_file=authority.ca_file, connect_s=0.3,
            proxy=f"http://127.0.0.1:{server.port}",
        )  # fmt: skip
        assert (await failure(call))[0] is Kind.UPSTREAM_TIMEOUT
        await reached(lambda: server.open == 0)


async def test_connections_are_shared_by_nobody_who_goes_another_way(authority: Authority) -> None:
    """Neither another proxy nor another trust may be served by a connection that was made without."""
    tls = authority.server("127.0.0.1")
    async with raw_server(OK, tls=tls) as server, a_proxy(server.port) as proxy, a_client() as client:
        fields: dict[str, Any] = {"scheme": "https", "ca_file": authority.ca_file}
        await fetch(client, server.port, **fields)
        await fetch(client, server.port, proxy=proxy.url, **fields)
        assert await failure(fetch(client, server.port, scheme="https")) == TLS_REFUSED
        response = await opened(client, server.port, **fields)
        assert await whole(response) == b"ok"
        assert server.connections == 2

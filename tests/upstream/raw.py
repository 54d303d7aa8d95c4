"""A server that says what it is told, byte for byte, and a call to it."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters import HttpCall
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import CaBundle, Timeouts, Upstream
from sidecar.upstream import UpstreamClient, UpstreamResponse

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
# SO_LINGER on, zero seconds: close() sends RST.
RESET = struct.pack("ii", 1, 0)
HEAD_BYTES_MAX = 1 << 20


@dataclass(slots=True)
class Request:
    """One that reached the server. `connection` counts from 0."""

    connection: int
    head: bytes
    body: bytes
    reader: asyncio.StreamReader

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class RawServer:
    """`answer` writes to each request; it may close the writer. `reads_body`: before it answers."""

    answer: Answer
    reads_body: bool = True
    port: int = 0
    connections: int = 0
    open: int = 0
    requests: list[Request] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self.open += 1
        self.writers.append(writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                request = Request(number, head, b"", reader)
                if self.reads_body:
                    request.body = await reader.readexactly(int(request.headers.get("content-length", "0")))
                self.requests.append(request)
                await self.answer(request, writer)
                if not writer.is_closing():
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def raw_server(
    answer: Answer | bytes, *, tls: ssl.SSLContext | None = None, then_close: bool = False, reads_body: bool = True
) -> AsyncIterator[RawServer]:
    """On 127.0.0.1. `answer` may be what it says to every request; `then_close`: and closes."""
    if isinstance(answer, bytes):
        answer = says(answer, then_close=then_close)
    raw = RawServer(answer, reads_body)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=tls, limit=HEAD_BYTES_MAX, backlog=1024)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        for writer in raw.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01 if raw.open else 0)  # the handlers end


def says(*pieces: bytes, then_close: bool = False, then_reset: bool = False) -> Answer:
    """Writes the pieces, each in a turn of its own."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.002)
        if then_reset:
            reset(writer)
        elif then_close:
            writer.close()

    return answer


def reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def never(request: Request, writer: asyncio.StreamWriter) -> None:
    """Says nothing until the client has gone."""
    await request.reader.read()


@asynccontextmanager
async def a_client() -> AsyncIterator[UpstreamClient]:
    client = UpstreamClient()
    try:
        yield client
    finally:
        await client.close()


async def opened(
    client: UpstreamClient,
    port: int,
    *,
    body: bytes = b"{}",
    scheme: str = "http",
    host: str = "127.0.0.1",
    path: str = "/v1/chat/completions",
    headers: tuple[tuple[str, str], ...] = (("Authorization", "Bearer sk-canary-0123456789"),),
    connect_s: float = 5.0,
    resent: Callable[[], None] | None = None,
    fresh: bool = False,
    **of_upstream: Any,
) -> UpstreamResponse:
    """The head of an answer. `of_upstream`: ca_file, client_certificate, proxy."""
    base_url = f"{scheme}://{host}:{port}"
    if isinstance(path_of_ca := of_upstream.get("ca_file"), str | Path):
        of_upstream["ca_file"] = bundle(path_of_ca)
    upstream = Upstream("openai", "gpt-test", base_url, Secret("sk-canary-0123456789"), **of_upstream)
    call = HttpCall(base_url + path, body)
    return await client.open(call, upstream, headers, Timeouts(connect_s=connect_s), resent, fresh=fresh)


def bundle(path: str | Path) -> CaBundle:
    """As the config reads it."""
    return CaBundle(str(path), Path(path).read_text())


async def whole(response: UpstreamResponse) -> bytes:
    """All of the body; the response is closed."""
    pieces = []
    try:
        while piece := await response.read_some():
            pieces.append(piece)
    finally:
        response.close()
    return b"".join(pieces)


async def fetch(client: UpstreamClient, port: int, **fields: Any) -> tuple[int, bytes]:
    """One whole call: status and body."""
    response = await opened(client, port, **fields)
    return response.status, await whole(response)


def sockets() -> int:
    """That this process has open."""
    return sum(os.path.islink(link.path) and "socket:" in _target(link.path) for link in os.scandir("/proc/self/fd"))


def _target(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""

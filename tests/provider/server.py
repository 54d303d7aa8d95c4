"""A small HTTP/1.1 server that sends replies byte for byte and records what it received; frameworks hide the
socket."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from tests.provider.record import Call, Connection, Sent
from tests.provider.reply import End, Framing, Gate, Part, Pause, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

# SO_LINGER on, zero seconds: close() then sends RST instead of FIN.
LINGER_RESET = struct.pack("ii", 1, 0)
GARBAGE = b"\x00\xffthis is no chunk size\r\n\x00"

Answer = Callable[[Call], Reply]


class Log:
    """The record of one provider: the server's loop appends to it, and tests read it in any thread."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.calls: list[Call] = []
        self.transports: set[asyncio.Transport] = set()  # that are open


class HttpServer(asyncio.Protocol):
    """One connection. Requests are answered one at a time, each in its own task, so that EOF is noticed at once."""

    def __init__(self, log: Log, answer: Answer) -> None:
        self._log = log
        self._answer = answer
        self._buffer = bytearray()
        self._head_end_seen_at = 0  # avoids searching a byte of a head twice
        self._task: asyncio.Task[None] | None = None
        self._call: Call | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._log.transports.add(self._transport)
        self._connection = Connection(id=len(self._log.connections), opened_s=time.monotonic())
        self._log.connections.append(self._connection)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def eof_received(self) -> bool:
        self._lost("peer")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._log.transports.discard(self._transport)
        self._lost("peer" if exc is not None else "provider")

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _lost(self, by: str) -> None:
        self._gone.set()
        self._writable.set()
        if self._connection.closed_s is not None:
            return
        self._connection.closed_by = by
        self._connection.closed_s = time.monotonic()
        call = self._call
        if call is not None and by == "peer" and call.outcome in (None, End.STALL.value):
            call.outcome, call.peer_closed_s = "peer_closed", self._connection.closed_s
            call.ended_s = call.peer_closed_s
        if self._task is not None:
            self._task.cancel()

    def _next(self) -> None:
        """Starts the reply to the next complete request in the buffer unless a reply is in progress."""
        if self._task is not None or self._gone.is_set():
            return
        end = self._buffer.find(b"\r\n\r\n", max(0, self._head_end_seen_at - 3))
        if end < 0:
            self._head_end_seen_at = len(self._buffer)
            return
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        pairs = [line.partition(":") for line in lines[1:]]
        headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        body = self._take_body(end + 4, dict(headers))
        if body is None:
            return
        method, target, _ = lines[0].split(" ", 2)
        call = Call(len(self._log.calls), self._connection, time.monotonic(), method, target, headers, body)
        self._connection.calls += 1
        self._call = call
        if not call.path.startswith("/_sim/"):
            self._log.calls.append(call)
        self._task = asyncio.get_running_loop().create_task(self._serve(call))

    def _take_body(self, start: int, headers: dict[str, str]) -> bytes | None:
        """Removes the request's body from the buffer and returns it; None until it is complete."""
        if headers.get("transfer-encoding", "").lower() != "chunked":
            end = start + int(headers.get("content-length", "0"))
            if len(self._buffer) < end:
                return None
            body = bytes(self._buffer[start:end])
        else:
            pieces: list[bytes] = []
            end = start
            while True:
                line_end = self._buffer.find(b"\r\n", end)
                if line_end < 0:
                    return None
                size = int(self._buffer[end:line_end].split(b";")[0], 16)
                if len(self._buffer) < line_end + 2 + size + 2:
                    return None
                pieces.append(bytes(self._buffer[line_end + 2 : line_end + 2 + size]))
                end = line_end + 2 + size + 2
                if size == 0:
                    break
            body = b"".join(pieces)
        del self._buffer[:end]
        self._head_end_seen_at = 0
        return body

    async def _serve(self, call: Call) -> None:
        reply = self._answer(call)
        if reply.before is not None:
            await reply.before.passed()
        await asyncio.sleep(reply.head_delay_s)
        kept = await Play(self._transport, self._writable, call, reply).run()
        call.ended_s = time.monotonic()
        call.outcome = reply.end.value
        if reply.end in (End.STALL, End.HALF_CLOSE):
            await self._gone.wait()
        self._task, self._call = None, None
        if not kept:
            self._connection.closed_by, self._connection.closed_s = "provider", time.monotonic()
            self._transport.close() if reply.end is not End.RST else self._reset()
        else:
            self._next()

    def _reset(self) -> None:
        peer = self._transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self._transport.abort()


class Play:
    """Writes one reply to a socket."""

    def __init__(self, transport: asyncio.Transport, writable: asyncio.Event, call: Call, reply: Reply) -> None:
        self._transport = transport
        self._writable = writable
        self._call = call
        self._reply = reply
        self._parts = _compressed(reply.parts) if reply.gzip else reply.parts
        byte_parts = [part for part in self._parts if isinstance(part, bytes)]
        self._length = sum(map(len, byte_parts))
        self._framing = reply.framing or (Framing.LENGTH if len(byte_parts) <= 1 else Framing.CHUNKED)
        self._left = self._length if reply.cut_at is None else min(reply.cut_at, self._length)

    async def run(self) -> bool:
        """Sends the whole reply. Returns whether the connection can serve another request."""
        reply = self._reply
        if reply.head:
            await self._write(self._head())
            self._call.head_sent_s = time.monotonic()
            await asyncio.sleep(reply.first_delay_s)
            await self._body()
        if reply.end is End.GARBAGE:
            await self._write(GARBAGE)
        elif reply.end is End.HALF_CLOSE:
            self._transport.write_eof()
        elif reply.end is End.NORMAL and self._framing is Framing.CHUNKED:
            await self._write(b"0\r\n\r\n")
        return reply.end is End.NORMAL and not reply.then_close and self._framing is not Framing.CLOSE

    def _head(self) -> bytes:
        reply = self._reply
        reason = HTTPStatus(reply.status).phrase if reply.status in HTTPStatus._value2member_map_ else "Unknown"
        lines = [f"HTTP/1.1 {reply.status} {reason}", *(f"{name}: {value}" for name, value in reply.headers)]
        if reply.gzip:
            lines.append("content-encoding: gzip")
        if self._framing is Framing.LENGTH:
            lines.append(f"content-length: {self._length}")
        elif self._framing is Framing.CHUNKED:
            lines.append("transfer-encoding: chunked")
        if reply.then_close == "announced" or self._framing is Framing.CLOSE:
            lines.append("connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def _body(self) -> None:
        sent = 0
        for index, part in enumerate(self._parts):
            if isinstance(part, Gate):
                await part.passed()
                continue
            if isinstance(part, Pause):
                await asyncio.sleep(part.seconds)
                continue
            if self._left <= 0:
                return
            if sent and self._reply.gap_s:
                await asyncio.sleep(self._reply.gap_s)
            await self._part(part)
            sent += 1
            self._call.sent.append(Sent(index, time.monotonic(), min(len(part), self._left)))
            self._left -= len(part)

    async def _part(self, part: bytes) -> None:
        """Sends one part. Where it is cut, the chunk's length still announces all of it."""
        kept = part[: self._left]
        if self._framing is Framing.CHUNKED:
            whole = b"%x\r\n%b" % (len(part), kept) + (b"\r\n" if len(kept) == len(part) else b"")
        else:
            whole = kept
        step = self._reply.slice_bytes or len(whole) or 1
        for start in range(0, len(whole), step):
            await self._write(whole[start : start + step])
            if self._reply.slice_bytes:
                await asyncio.sleep(0)

    async def _write(self, data: bytes) -> None:
        self._transport.write(data)
        await self._writable.wait()


def _compressed(parts: Sequence[Part]) -> list[Part]:
    """Compresses each part as a separate gzip member, so that each can be read on arrival."""
    return [gzip.compress(part, mtime=0) if isinstance(part, bytes) else part for part in parts]

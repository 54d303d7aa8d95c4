"""A client that writes frames by hand, the wrong ones too, and reads what comes back."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
FRAME_BYTES = 16_384
# Nothing here takes a second on a machine at rest.
PATIENCE_S = 20.0
BASE = (
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def block(path: str, *more: tuple[str, str], without: Sequence[str] = (), **instead: str) -> bytes:
    """Headers without an index table, so that any number of them may be sent in any order."""
    changed = {name.replace("_", "-"): value for name, value in instead.items()}
    pairs = [(name, changed.get(name.strip(":"), value)) for name, value in BASE if name not in without]
    pairs.insert(1, (":path", path))
    if ":path" in without:
        pairs.pop(1)
    return literal([*pairs, *more])


def literal(pairs: Iterable[tuple[str, str]]) -> bytes:
    """HPACK: literals without indexing, RFC 7541 section 6.2.2."""
    out = b""
    for name, value in pairs:
        out += b"\0" + _string(name.encode()) + _string(value.encode("latin-1"))
    return out


def _string(data: bytes) -> bytes:
    size, out = len(data), b""
    if size < 127:
        return bytes((size,)) + data
    out, size = b"\x7f", size - 127
    while size >= 128:
        out, size = out + bytes((size % 128 + 128,)), size // 128
    return out + bytes((size,)) + data


def message(data: bytes, flag: int = 0) -> bytes:
    return bytes((flag,)) + len(data).to_bytes(4, "big") + data


def setting(key: int, value: int) -> bytes:
    return struct.pack(">HI", key, value)


# Preface, settings, and windows that no answer here fills.
INITIAL_WINDOW_SIZE = 4
HELLO = PREFACE + frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 1 << 28))
HELLO += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 28))


@dataclass
class Answer:
    """What came on one stream."""

    headers: list[dict[str, str]] = field(default_factory=list)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def done(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def last(self) -> dict[str, str]:
        return self.headers[-1]

    @property
    def status(self) -> int:
        return int(self.last["grpc-status"])


class Raw:
    """async with await Raw.to(port) as client: client.call(1, "/test.Bytes/echo", b"hi"); await client.answer(1)"""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = hpack.Decoder()
        self._decoder.max_header_list_size = 1 << 20
        self._buffer = b""
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int]] = []  # last stream, code
        self.settings: dict[int, int] = {}
        self.kinds: list[int] = []
        self.closed = False
        self.acknowledges = True
        self.pings: list[bytes] = []  # that wait for `acknowledge`

    @classmethod
    async def to(cls, port: int, preface: bytes | None = None) -> Raw:
        """With HELLO sent, or those bytes in its place."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        raw = cls(reader, writer)
        raw.send(HELLO if preface is None else preface)
        return raw

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        await self._writer.drain()

    def call(self, stream: int, path: str, body: bytes = b"", *headers: tuple[str, str]) -> None:
        """A whole request."""
        self.send(frame(HEADERS, END_HEADERS, stream, block(path, *headers)))
        self.data(stream, message(body), end=True)

    def begin(self, stream: int, path: str, *headers: tuple[str, str], end: bool = False) -> None:
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block(path, *headers)))

    def data(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """In as many frames as it needs. No more than the server's windows take: 1 MiB for a stream."""
        for at in range(0, len(data), FRAME_BYTES) or (0,):
            last = end and at + FRAME_BYTES >= len(data)
            self.send(frame(DATA, END_STREAM if last else 0, stream, data[at : at + FRAME_BYTES]))

    def reset(self, stream: int, code: int = 8) -> None:
        self.send(frame(RST_STREAM, 0, stream, struct.pack(">I", code)))

    def window(self, stream: int, size: int) -> None:
        self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    def acknowledge(self) -> None:
        """The pings that came while `acknowledges` was off."""
        for payload in self.pings:
            self.send(frame(PING, ACK, 0, payload))
        self.pings.clear()

    def close(self) -> None:
        self._writer.close()

    def half_close(self) -> None:
        self._writer.write_eof()

    def abort(self) -> None:
        """A reset instead of an end."""
        transport = self._writer.transport
        transport.abort()

    def stops_reading(self) -> None:
        """Nothing more is taken from the socket."""
        transport: Any = self._writer.transport
        transport.pause_reading()

    def reads_again(self) -> None:
        transport: Any = self._writer.transport
        transport.resume_reading()

    async def answer(self, stream: int) -> Answer:
        """Once it has ended."""
        await self.until(lambda: self.of(stream).done)
        return self.of(stream)

    def of(self, stream: int) -> Answer:
        return self.answers.setdefault(stream, Answer())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Reads until it is so. Raises ConnectionError at the end of the connection, TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if not await self.read():
                    raise ConnectionError(f"closed, GOAWAY {self.goaways}")

    async def discard_until(self, condition: Callable[[], bool]) -> None:
        """As `until`, without a look at what comes."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                if not await self._reader.read(1 << 20):
                    raise ConnectionError("closed")

    async def until_closed(self) -> int | None:
        """The code of the last GOAWAY before the server closed."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.read():
                pass
        return self.goaways[-1][1] if self.goaways else None

    async def read(self) -> bool:
        try:
            data = await self._reader.read(65536)
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        self._buffer += data
        while len(self._buffer) >= 9:
            size = 9 + int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < size:
                break
            one, self._buffer = self._buffer[:size], self._buffer[size:]
            self._take(one[3], one[4], int.from_bytes(one[5:9], "big"), one[9:])
        return True

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.kinds.append(kind)
        answer = self.of(stream) if stream else Answer()
        if kind == HEADERS:
            assert flags & END_HEADERS
            decoded = self._decoder.decode(payload)
            answer.headers.append({str(name): str(value) for name, value in decoded})
        elif kind == DATA:
            answer.data += payload
        elif kind == RST_STREAM:
            answer.reset = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            last, code = struct.unpack(">II", payload[:8])
            self.goaways.append((last, code))
        elif kind == PING and not flags & ACK and not self.acknowledges:
            self.pings.append(payload)
        elif kind in (SETTINGS, PING) and not flags & ACK and self.acknowledges:
            for at in range(0, len(payload) if kind == SETTINGS else 0, 6):
                key, value = struct.unpack(">HI", payload[at : at + 6])
                self.settings[key] = value
            self.send(frame(kind, ACK, 0, payload if kind == PING else b""))
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            answer.ended = True

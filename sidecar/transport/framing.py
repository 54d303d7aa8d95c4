"""gRPC's message framing: a flag, four bytes of length, the message. Includes bounded decompression."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

from sidecar.transport.status import Refused, Status

PREFIX_BYTES = 5
# Decompressing this much takes a millisecond; after that, other calls get their turn.
_SLICE_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Message:
    """A message as received. A large one arrives in many parts, which are joined when it is taken. `size` is in
    bytes."""

    __slots__ = ("_parts", "compressed", "size")

    def __init__(self, parts: list[bytes], size: int, compressed: bool) -> None:
        self._parts = parts
        self.size = size
        self.compressed = compressed

    def take(self) -> bytes:
        """Returns the bytes. Call it once."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)


class MessageReader:
    """Assembles messages from the pieces of a body, and holds what is not yet a complete message."""

    __slots__ = ("_bytes_max", "_parts", "_size", "_want")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._size = 0
        self._want = PREFIX_BYTES  # including the prefix, once it is known

    @property
    def held_bytes(self) -> int:
        return self._size

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Adds a piece. Raises Refused as soon as a prefix announces a message that must not be read."""
        self._parts.append(piece)
        self._size += len(piece)
        while self._size >= self._want:
            if self._want == PREFIX_BYTES:
                self._want += self._length()
                if self._size < self._want:
                    return
            yield self._message()

    def _message(self) -> Message:
        """Takes the first message, which has arrived completely."""
        parts, rest = self._parts, self._size - self._want
        compressed = parts[0][0] == 1
        last = parts[-1]
        self._parts = []
        if rest:
            cut = len(last) - rest
            parts[-1], last = last[:cut], last[cut:]
            self._parts = [last]
        parts[0] = parts[0][PREFIX_BYTES:]
        message = Message(parts, self._want - PREFIX_BYTES, compressed)
        self._size, self._want = rest, PREFIX_BYTES
        return message

    def _length(self) -> int:
        if len(self._parts[0]) < PREFIX_BYTES:
            self._parts = [b"".join(self._parts)]
        prefix = self._parts[0]
        if prefix[0] > 1:
            raise Refused(Status.INTERNAL, f"The flag before a message is {prefix[0]}; only 0 and 1 are known.")
        length = int.from_bytes(prefix[1:PREFIX_BYTES], "big")
        if length > self._bytes_max:
            raise too_large(length, self._bytes_max)
        return length


def too_large(length: int | None, bytes_max: int) -> Refused:
    size = f"has {length} bytes" if length is not None else "is too large after decompression"
    return Refused(Status.RESOURCE_EXHAUSTED, f"The message {size}; the maximum is {bytes_max} bytes.")


async def unpacked(data: bytes, bytes_max: int) -> bytes:
    """Decompresses gzip data. Raises Refused if the data is damaged or exceeds `bytes_max`, before the excess is
    held in memory."""
    inflate = zlib.decompressobj(_GZIP)
    parts: list[bytes] = []
    size = 0
    try:
        while not inflate.eof:
            part = inflate.decompress(data, _SLICE_BYTES)
            data = inflate.unconsumed_tail
            size += len(part)
            if size > bytes_max:
                raise too_large(None, bytes_max)
            if not part and not data and not inflate.eof:
                raise zlib.error("cut short")
            parts.append(part)
            if size > _SLICE_BYTES:
                await asyncio.sleep(0)
    except zlib.error:
        raise Refused(Status.INTERNAL, "The message is marked as compressed with gzip, but is not.") from None
    if inflate.unused_data:
        raise Refused(Status.INTERNAL, "Bytes follow the end of the compressed message.")
    return b"".join(parts)

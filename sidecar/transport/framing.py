"""Messages in a body: a flag, four bytes of length, the message. And the way back from gzip, bounded."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

from sidecar.transport.status import Refused, Status

PREFIX_BYTES = 5
# Unpacking this much takes a millisecond; then other calls have their turn.
_SLICE_BYTES = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Message:
    """As it came: joined when it is taken, as a large one is in many parts. `size` in bytes."""

    __slots__ = ("_parts", "compressed", "size")

    def __init__(self, parts: list[bytes], size: int, compressed: bool) -> None:
        self._parts = parts
        self.size = size
        self.compressed = compressed

    def take(self) -> bytes:
        """Once."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)


class MessageReader:
    """Puts messages together from pieces of a body, however it was cut. Holds what is not yet a message."""

    __slots__ = ("_bytes_max", "_parts", "_size", "_want")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._size = 0
        self._want = PREFIX_BYTES  # with the prefix, once that is known

    @property
    def held_bytes(self) -> int:
        return self._size

    def feed(self, piece: bytes) -> Iterator[Message]:
        """Raises Refused as soon as a prefix says that its message must not be read."""
        self._parts.append(piece)
        self._size += len(piece)
        while self._size >= self._want:
            if self._want == PREFIX_BYTES:
                self._want += self._length()
                if self._size < self._want:
                    return
            yield self._message()

    def _message(self) -> Message:
        """The first of what is held, which is all there."""
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
    size = f"{length} bytes" if length is not None else "more bytes, unpacked,"
    return Refused(Status.RESOURCE_EXHAUSTED, f"The message has {size}; at most {bytes_max} are read.")


async def unpacked(data: bytes, bytes_max: int) -> bytes:
    """What gzip packed. Raises Refused for what is broken, and once it is larger than `bytes_max`, before it is held."""
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
        raise Refused(Status.INTERNAL, "The message is said to be packed by gzip and is not.") from None
    if inflate.unused_data:
        raise Refused(Status.INTERNAL, "Bytes follow the end of the packed message.")
    return b"".join(parts)

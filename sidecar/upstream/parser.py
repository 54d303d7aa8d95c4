"""Parses the bytes of a connection into answers, without I/O. Buffers no more than it was fed.

    parser = Parser()
    parser.start()
    parser.feed(data)

`data` may be split anywhere. The results are in `head`, `parts` and `ended`.
"""

from __future__ import annotations

from sidecar.upstream.failures import BadHead, BodyBroken, ConnectionLost, HeadTooLarge, TooManyInformational
from sidecar.upstream.head import HEAD_BYTES_MAX, Head, fields_are_good, read_head

# 100 and 103 are sent once each; some servers repeat 102 (processing) while they work. Beyond these numbers it is a
# flood.
INFORMATIONAL_MAX = 32
INFORMATIONAL_BYTES_MAX = 64 * 1024
# A hexadecimal size and, rarely, extensions.
_SIZE_LINE_BYTES_MAX = 1024
_SIZE_DIGITS_MAX = 15
_NOTHING = bytearray()  # never written to
_X = (b"x", b"X")
# Trailers are parsed to find their end, and dropped.
_TRAILER_BYTES_MAX = 16 * 1024
# The beginning of a status line, as far as it has arrived.
_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")


class Parser:
    """One per connection.

    `head`: None until it has arrived completely.
    `parts`: the body so far, unless it was taken.
    `ended`: whether the answer is complete.
    `surplus`: bytes followed the answer.
    """

    __slots__ = (
        "_bodiless",
        "_informational",
        "_informational_bytes",
        "_left",
        "_partial",
        "_searched",
        "_step",
        "ended",
        "head",
        "parts",
        "surplus",
    )

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.start()

    def start(self, *, bodiless: bool = False) -> None:
        """Prepares for the next answer on the connection."""
        self.head: Head | None = None
        self.ended = False
        self.surplus = False
        self._bodiless = bodiless
        self._step = Parser._read_head
        self._partial = _NOTHING  # an incomplete head, size line or trailer section
        self._searched = 0  # this much of the buffer contains no end, so no byte is searched twice
        self._left = 0  # remaining bytes of the body or the chunk
        self._informational = 0
        self._informational_bytes = 0

    def feed(self, data: bytes) -> None:
        """Parses `data`. Raises BadHead, HeadTooLarge, TooManyInformational up to the head, BodyBroken after it."""
        self._step(self, data)

    @property
    def began(self) -> bool:
        """Whether any byte of an answer has arrived."""
        return self.head is not None or bool(self._partial) or self._informational > 0

    @property
    def taken(self) -> bool:
        """Whether the answer is complete and has been taken."""
        return self.ended and not self.parts

    def take_whole(self) -> bytes | None:
        """Returns the body if it is complete and no part of it was taken; otherwise None."""
        parts = self.parts
        if not self.ended or not parts:
            return None
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        return data

    def end_of_input(self) -> None:
        """Call at the end of the input. Raises ConnectionLost or BodyBroken if something is missing."""
        if self.ended:
            return
        if self.head is None:
            raise ConnectionLost("The connection ended before the head.", answered=self.began)
        if self.head.length is not None or self.head.chunked:
            raise BodyBroken("The connection ended before the body.")
        self.ended = True

    def _read_head(self, data: bytes) -> None:
        buffer: bytes | bytearray = data
        if self._partial:
            self._partial += data
            buffer = self._partial
        at = 0
        while True:
            end = buffer.find(b"\r\n\r\n", max(at, self._searched - 3))
            if end < 0 or end - at > HEAD_BYTES_MAX:
                self._wait_for_head(buffer, at)
                return
            head = read_head(bytes(buffer[at : end + 4]), bodiless=self._bodiless)
            self._searched = 0
            if head.status >= 200:
                break
            self._count(end + 4 - at)
            at = end + 4
        self._partial = _NOTHING
        self.head = head
        self._left = head.length or 0
        if head.chunked:
            self._step = Parser._read_chunks
        elif head.length is None:
            self._step = Parser._read_until_close
        else:
            self._step = Parser._read_length
        if end + 4 < len(buffer):
            self._step(self, bytes(buffer[end + 4 :]))
        elif head.length == 0:
            self._finish(b"")

    def _wait_for_head(self, buffer: bytes | bytearray, at: int) -> None:
        """Buffers the beginning of a head, unless it cannot become one, which only a timeout would reveal
        otherwise."""
        if len(buffer) - at > HEAD_BYTES_MAX:
            raise HeadTooLarge(f"The head is longer than {HEAD_BYTES_MAX} bytes.")
        start = bytes(buffer[at : at + 9])
        if not any(version.startswith(start) for version in _VERSIONS):
            raise BadHead("The status line is not HTTP/1.1.")
        seen = max(at, self._searched)
        if buffer.count(b"\n", seen) != buffer.count(b"\r\n", max(at, seen - 1)):
            raise BadHead("A line of the head ends in a bare line feed.")
        if at or not self._partial:
            self._partial = bytearray(buffer[at:])
        self._searched = len(self._partial)

    def _count(self, size: int) -> None:
        self._informational += 1
        self._informational_bytes += size
        if self._informational > INFORMATIONAL_MAX or self._informational_bytes > INFORMATIONAL_BYTES_MAX:
            raise TooManyInformational(f"More than {INFORMATIONAL_MAX}, or {INFORMATIONAL_BYTES_MAX} bytes of them.")

    def _read_length(self, data: bytes) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            self.parts.append(data)
            return
        size = self._left
        self._left = 0
        if size:
            self.parts.append(data if left == 0 else data[:size])
        self._finish(data[size:])

    def _read_until_close(self, data: bytes) -> None:
        self.parts.append(data)

    def _read_chunks(self, data: bytes) -> None:
        """`_left` counts the rest of the chunk, including its CR LF."""
        if self._partial:
            data = bytes(self._partial) + data
            self._partial = _NOTHING
        parts = self.parts
        size = len(data)
        at = 0
        left = self._left
        while True:
            if left:
                end = at + left
                if end > size:
                    self._chunk_goes_on(data, at, left)
                    return
                if left > 2:
                    parts.append(data[at : end - 2])
                    at = end - 2
                if data[at:end] != b"\r\n"[-left:]:
                    raise BodyBroken("A chunk is longer than its declared size.")
                at = end
            line_end = data.find(b"\r\n", at, at + _SIZE_LINE_BYTES_MAX)
            if line_end < 0:
                self._left = 0
                if at < size:
                    self._keep_size_line(data[at:])
                return
            left = _size_of(data[at:line_end])
            at = line_end + 2
            if left == 0:
                self._left = 0
                self._step = Parser._read_trailers
                self._read_trailers(data[at:])
                return
            left += 2

    def _chunk_goes_on(self, data: bytes, at: int, left: int) -> None:
        have = len(data) - at
        if have and have == left - 1 and data[-1] != 13:
            raise BodyBroken("A chunk is longer than its declared size.")
        text = min(have, left - 2)
        if text > 0:
            self.parts.append(data[at : at + text])
        self._left = left - have

    def _keep_size_line(self, rest: bytes) -> None:
        if len(rest) >= _SIZE_LINE_BYTES_MAX:
            raise BodyBroken(f"The size line of a chunk is longer than {_SIZE_LINE_BYTES_MAX} bytes.")
        if b"\n" in rest:
            raise BodyBroken("The size line of a chunk ends in a bare line feed.")
        _size_of(rest.rstrip(b"\r \t"))
        self._partial = bytearray(rest)

    def _read_trailers(self, data: bytes) -> None:
        partial = self._partial
        if partial:
            partial += data
        else:
            partial = self._partial = bytearray(data)
        if partial.startswith(b"\r\n"):
            end = 0
        else:
            end = partial.find(b"\r\n\r\n", max(0, len(partial) - len(data) - 3)) + 2
            if end == 1:
                if len(partial) > _TRAILER_BYTES_MAX:
                    raise BodyBroken(f"The trailers are longer than {_TRAILER_BYTES_MAX} bytes.")
                if partial.count(b"\n") != partial.count(b"\r\n"):
                    raise BodyBroken("A trailer ends in a bare line feed.")
                return
        if end > _TRAILER_BYTES_MAX or not fields_are_good(bytes(partial[:end])):
            raise BodyBroken("The trailers violate HTTP/1.1.")
        rest = bytes(partial[end + 2 :])
        self._partial = _NOTHING
        self._finish(rest)

    def _finish(self, surplus: bytes) -> None:
        self.ended = True
        self._step = Parser._refuse
        self.surplus = bool(surplus)

    def _refuse(self, data: bytes) -> None:
        self.surplus = True


def _size_of(line: bytes) -> int:
    """Parses a size line without its CR LF: hexadecimal digits, then optional extensions, which are ignored."""
    # int() alone would accept "0x1", "+1", "1_0" and blanks.
    if line.isalnum() and len(line) <= _SIZE_DIGITS_MAX and line[1:2] not in _X:
        try:
            return int(line, 16)
        except ValueError:
            pass
    digits, semicolon, extension = line.partition(b";")
    if not semicolon or b"\n" in extension or b"\r" in extension or b"\0" in extension:
        raise BodyBroken("The size of a chunk is not a number.")
    return _size_of(digits.rstrip(b" \t"))

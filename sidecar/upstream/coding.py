"""Decompresses gzip and deflate in bounded steps. We ask for uncompressed answers, but some providers compress
anyway."""

from __future__ import annotations

import zlib

from sidecar.upstream.failures import BrokenCoding, UnknownCoding

# Maximum output of one step: a bomb of 64 MiB takes 1,000 steps, between which other calls get their turn.
STEP_BYTES = 64 * 1024

_GZIP = zlib.MAX_WBITS | 16
_RAW = -zlib.MAX_WBITS


class Decoder:
    """After each `feed`, call `take` until it returns nothing. `waiting`: there may be more output without further
    input."""

    def __init__(self, coding: str) -> None:
        """`coding` is the content-encoding in lower case. Raises UnknownCoding."""
        if coding not in ("gzip", "x-gzip", "deflate"):
            raise UnknownCoding(f"Unsupported content-encoding: {coding}.")
        self._gzip = coding != "deflate"
        self._stream: zlib._Decompress | None = None
        self._input = b""
        self._held = False  # zlib has consumed all input, but may have output that did not fit
        self._ended = False

    @property
    def waiting(self) -> bool:
        return bool(self._input) or self._held

    def feed(self, data: bytes) -> None:
        self._input = self._input + data if self._input else data

    def take(self) -> bytes:
        """Returns at most STEP_BYTES; b"" if more input is needed. Raises BrokenCoding."""
        while self.waiting:
            stream = self._stream or self._begin()
            if stream is None:
                return b""
            try:
                data = stream.decompress(self._input, STEP_BYTES)
            except zlib.error as error:
                raise BrokenCoding("The data is damaged.") from error
            self._input = stream.unconsumed_tail or stream.unused_data
            self._held = len(data) == STEP_BYTES and not stream.eof
            if stream.eof:
                self._stream = None
                self._ended = True
            if data:
                return data
        return b""

    def _begin(self) -> zlib._Decompress | None:
        """Returns None while the format cannot be determined yet."""
        if self._ended:
            self._begin_again()
        if not self._input:
            return None
        if self._gzip:
            bits = _GZIP
        elif len(self._input) < 2:
            return None
        else:  # RFC 9110 means the zlib format; many servers send deflate data without its two-byte header
            zlib_header = self._input[0] & 0x0F == 8 and int.from_bytes(self._input[:2], "big") % 31 == 0
            bits = zlib.MAX_WBITS if zlib_header else _RAW
        self._stream = zlib.decompressobj(bits)
        return self._stream

    def _begin_again(self) -> None:
        """Handles data after the end: gzip members may be concatenated, and padded with zeros."""
        if not self._gzip:
            raise BrokenCoding("Data follows the end of the compressed stream.")
        self._input = self._input.lstrip(b"\0")

    def finish(self) -> None:
        """Call at the end of the body. Raises BrokenCoding if the data is incomplete."""
        if self._input or self._stream is not None:
            raise BrokenCoding("The data is incomplete.")

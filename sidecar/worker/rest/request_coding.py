"""Compressed request bodies (RFC 9110, 8.4): gzip and zstd, bounded in bytes and in ratio, a slice of the loop's time each.

A body that is not compressed pays for one look at its first byte: no JSON begins as gzip or zstd does.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from adapters import GatewayError, Kind
from sidecar.domain.sizes import MIB, REQUEST_BYTES_MAX
from sidecar.transport.caller import Context

COMPRESSED: Final = frozenset({b"\x1f", b"\x28", b"\x50"})  # gzip; a zstd frame; a skippable one (RFC 8878, 3.1)
# Prompts shrink to a fifth, long repetition to a hundredth. What grows more than this was made to fill memory.
RATIO_MAX = 100
_RATIO_FROM_BYTES = MIB  # as much is nobody's harm
# This much takes a millisecond; then other calls have their turn.
_SLICE_BYTES = 256 * 1024
_INPUT_BYTES = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16
# 8 MiB: what RFC 9659 lets a sender of HTTP use.
_WINDOW_LOG_MAX = 23


class _Stream(Protocol):
    """A member of gzip, a frame of zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Damaged(Exception):
    """Not what its coding is."""


class _Gzip:
    """zlib's decompressor with the face of zstd's: it keeps the input that did not fit."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        try:
            return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        except zlib.error as error:
            raise _Damaged from error


class _Zstd:
    """Imported with the first body that needs it: most gateways never see one."""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self._error: type[Exception] = zstd.ZstdError
        self._stream: _Stream = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
        )

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        try:
            return self._stream.decompress(data, max_length)
        except self._error as error:
            raise _Damaged from error


_CODINGS: Mapping[str, Callable[[], _Stream]] = {"gzip": _Gzip, "x-gzip": _Gzip, "zstd": _Zstd}
_KEY = "content-encoding"


async def plain(body: bytes, context: Context) -> bytes:
    """As it came where it is not compressed."""
    return await decompressed(body, context) if body[:1] in COMPRESSED else body


async def decompressed(body: bytes, context: Context) -> bytes:
    """The body that was meant. Raises GatewayError for one that is damaged, too large, or compressed without saying so."""
    coding = _coding_of(context)
    begin = _CODINGS.get(coding)
    if begin is None:
        text = "The body is compressed, and no Content-Encoding says how. Send gzip or zstd, and name it."
        raise GatewayError(Kind.INVALID_REQUEST, text)
    try:
        return await _decompressed(body, begin)
    except _Damaged as error:
        raise GatewayError(Kind.INVALID_REQUEST, f"The body is not what Content-Encoding says: {coding}.") from error


def _coding_of(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == _KEY and isinstance(value, str):
            return value.strip().lower()
    return ""


async def _decompressed(body: bytes, begin: Callable[[], _Stream]) -> bytes:
    bytes_max = min(REQUEST_BYTES_MAX, max(_RATIO_FROM_BYTES, RATIO_MAX * len(body)))
    parts: list[bytes] = []
    size = 0
    stream: _Stream | None = None
    for start in range(0, len(body), _INPUT_BYTES):
        data = body[start : start + _INPUT_BYTES]
        while data or stream is not None:
            stream = stream or begin()
            part = stream.decompress(data, _SLICE_BYTES)
            data = stream.unused_data if stream.eof else b""
            if stream.eof:
                stream = None  # data may follow in another member or frame
            elif not part:
                break  # more input is needed
            size += len(part)
            if size > bytes_max:
                raise _too_large(bytes_max)
            parts.append(part)
            if size // _SLICE_BYTES != (size - len(part)) // _SLICE_BYTES:
                await asyncio.sleep(0)
    if stream is not None:
        raise GatewayError(Kind.INVALID_REQUEST, "The compressed body is cut off.")
    return b"".join(parts)


def _too_large(bytes_max: int) -> GatewayError:
    why = f"more than {bytes_max:,} bytes"
    if bytes_max < REQUEST_BYTES_MAX:
        why = f"more than {RATIO_MAX} times its size"
    return GatewayError(Kind.REQUEST_TOO_LARGE, f"The body is too large once it is decompressed: {why}.")

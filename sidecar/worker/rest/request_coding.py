"""Decompresses request bodies (RFC 9110, 8.4): gzip and zstd, bounded in size and ratio, in slices that do not
block the event loop.

For an uncompressed body the only cost is a look at its first byte: no JSON begins like gzip or zstd.
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
# Prompts shrink to a fifth, long repetitions to a hundredth. Anything that expands more was made to fill memory.
RATIO_MAX = 100
_RATIO_FROM_BYTES = MIB  # this much is harmless whatever the ratio
# This much takes a millisecond; after that, other calls get their turn.
_SLICE_BYTES = 256 * 1024
_INPUT_BYTES = 64 * 1024
_GZIP = zlib.MAX_WBITS | 16
# 8 MiB: the maximum that RFC 9659 allows HTTP senders.
_WINDOW_LOG_MAX = 23


class _Stream(Protocol):
    """A member of a gzip file or a frame of zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Damaged(Exception):
    """The data is not valid in its coding."""


class _Gzip:
    """Gives zlib's decompressor the interface of zstd's, by keeping the input that did not fit."""

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
    """zstd is imported with the first body that needs it; most gateways never see one."""

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
    """Returns the body, decompressed if necessary."""
    return await decompressed(body, context) if body[:1] in COMPRESSED else body


async def decompressed(body: bytes, context: Context) -> bytes:
    """Returns the decompressed body. Raises GatewayError if it is damaged, too large, or compressed without a
    Content-Encoding."""
    coding = _coding_of(context)
    begin = _CODINGS.get(coding)
    if begin is None:
        text = "The body is compressed, but Content-Encoding is missing. Compress with gzip or zstd and set the header."
        raise GatewayError(Kind.INVALID_REQUEST, text)
    try:
        return await _decompressed(body, begin)
    except _Damaged as error:
        raise GatewayError(
            Kind.INVALID_REQUEST, f"The body is not valid {coding}, which Content-Encoding announces."
        ) from error


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
                stream = None  # another member or frame may follow
            elif not part:
                break  # more input is needed
            size += len(part)
            if size > bytes_max:
                raise _too_large(bytes_max)
            parts.append(part)
            if size // _SLICE_BYTES != (size - len(part)) // _SLICE_BYTES:
                await asyncio.sleep(0)
    if stream is not None:
        raise GatewayError(Kind.INVALID_REQUEST, "The compressed body is incomplete.")
    return b"".join(parts)


def _too_large(bytes_max: int) -> GatewayError:
    why = f"more than {bytes_max:,} bytes"
    if bytes_max < REQUEST_BYTES_MAX:
        why = f"more than {RATIO_MAX} times its size"
    return GatewayError(Kind.REQUEST_TOO_LARGE, f"The decompressed body is too large: {why}.")

"""Metadata as gRPC encodes it in HTTP/2 headers: `-bin` values in base64, messages percent-encoded, timeouts with a
unit.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import binascii
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Pair = tuple[str, str | bytes]
"""A `-bin` key has bytes; any other has text of visible ASCII characters and spaces."""

_UNITS_S = {ord("H"): 3600.0, ord("M"): 60.0, ord("S"): 1.0, ord("m"): 1e-3, ord("u"): 1e-6, ord("n"): 1e-9}
_DIGITS_MAX = 8
# Visible ASCII and the space, without "%": what a message may contain unencoded.
_UNQUOTED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
# Headers that the protocol reserves; the rest is the caller's metadata.
_OWN = frozenset(
    [b"te", b"content-type", b"content-length", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding"]
)


class MalformedMetadata(ValueError):
    """A header that no gRPC client sends; the message names it."""


def timeout_s(value: bytes) -> float:
    """Parses `grpc-timeout`, one to eight digits and a unit, into seconds. Raises MalformedMetadata."""
    digits = value[:-1]
    if not 1 <= len(digits) <= _DIGITS_MAX or not digits.isdigit() or value[-1] not in _UNITS_S:
        raise MalformedMetadata("grpc-timeout is not one to eight digits and a unit (H, M, S, m, u or n).")
    return int(digits) * _UNITS_S[value[-1]]


class RequestMetadata(NamedTuple):
    """A request's headers, sorted into reserved ones and metadata."""

    own: dict[bytes, bytes]
    """The reserved headers. One that came twice has both values, joined as in HTTP."""
    callers: list[Pair]
    """The rest, in order, with repeated keys."""
    size: int
    """As HTTP/2 counts: names, values and 32 bytes per pair."""


def read(raw: Iterable[tuple[bytes, bytes]]) -> RequestMetadata:
    """Raises MalformedMetadata for invalid base64."""
    own: dict[bytes, bytes] = {}
    callers: list[Pair] = []
    size = 0
    for name, value in raw:
        size += len(name) + len(value) + 32
        if name in _OWN:
            own[name] = own[name] + b", " + value if name in own else value
        elif name.endswith(b"-bin"):
            key = name.decode("ascii")
            callers.extend((key, _from_base64(part, key)) for part in value.split(b","))
        else:
            callers.append((name.decode("ascii"), value.decode("latin-1")))
    return RequestMetadata(own, callers, size)


def _from_base64(value: bytes, key: str) -> bytes:
    """Decodes base64; padding is optional."""
    value = value.strip()
    try:
        return binascii.a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=True) if value else b""
    except binascii.Error:
        raise MalformedMetadata(f"The value of {key} is not base64.") from None


def written(pairs: Sequence[Pair]) -> list[tuple[str, bytes]]:
    """Encodes metadata as headers. Raises ValueError for an invalid value, which is the servicer's fault; nothing
    has been sent then."""
    return [
        (key, value.encode("ascii").strip(b" "))
        if type(value) is str and not key.endswith("-bin")
        else (key, _bytes_of(key, value))
        for key, value in pairs
    ]


def _bytes_of(key: str, value: str | bytes) -> bytes:
    if key.endswith("-bin"):
        return binascii.b2a_base64(value if isinstance(value, bytes) else value.encode(), newline=False).rstrip(b"=")
    data = value if isinstance(value, bytes) else value.encode("ascii")
    return data.strip(b" ")


def quoted(message: str) -> bytes:
    """Encodes a `grpc-message`: UTF-8 with everything but visible ASCII percent-encoded."""
    return urllib.parse.quote(message, safe=_UNQUOTED, errors="replace").encode("ascii")

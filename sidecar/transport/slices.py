"""Parses large messages in slices. The parser is a single call into C that blocks everything else, for 100 ms on a
long history.

An encoded message can be cut between any two of its fields: parsing the parts one after the other into one message
is equivalent to parsing the whole (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

# Parsing this much takes some 5 ms if all fields are small.
SLICE_BYTES = 1024 * 1024
_VARINT, _I64, _LENGTH, _I32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10


def parsed(make: Callable[[], Any], data: bytes) -> Any:
    """Parses the message. Raises DecodeError, as for the whole."""
    message = make()
    start = 0
    for end in _ends(data):
        message.MergeFromString(data[start:end])
        start = end
    message.MergeFromString(data[start:] if start else data)
    return message


def _ends(data: bytes) -> Iterator[int]:
    """Yields where top-level fields end, about a slice apart. Stops at malformed data, which the parser will
    report."""
    at = start = 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == _LENGTH:
                length, at = _varint(data, at)
                at += length
            elif kind == _VARINT:
                _, at = _varint(data, at)
            elif kind in (_I64, _I32):
                at += 8 if kind == _I64 else 4
            else:  # a group
                return
            if at - start >= SLICE_BYTES and at < len(data):
                yield at
                start = at
    except IndexError:
        return


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Returns a varint and the position after it. Raises IndexError if it is cut off."""
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    number, shift = byte & 127, 7
    for place in range(at + 1, at + _VARINT_BYTES_MAX):
        byte = data[place]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place + 1
        shift += 7
    raise IndexError

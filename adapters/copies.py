"""Copies of requests, a few thousand elements at a time.

A history of 31 MB is half a million messages, and protobuf copies a list in one call in C, in which no other thread of the
process runs: 50 to 150 ms. A copy in steps lets the event loop go on in between.

    out = copied(request)
    extend(out.messages, messages)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

# 1 ms of copying.
AT_ONCE = 4096

_Request = TypeVar("_Request", bound=Any)


def extend(elements: Any, more: Sequence[Any]) -> None:
    """`elements.extend(more)`: of a repeated field, with copies."""
    if len(more) <= AT_ONCE:
        elements.extend(more)
        return
    for at in range(0, len(more), AT_ONCE):
        elements.extend(more[at : at + AT_ONCE])


def copied(request: _Request) -> _Request:
    """A request of its own. Of a large one, fields that its type does not know are not copied."""
    out: _Request = type(request)()
    long = _long_fields(request)
    if not long:
        out.CopyFrom(request)
        return out
    _copy_but(request, out, long)
    for name in long:
        extend(getattr(out, name), getattr(request, name))
    return out


def pieces(request: Any) -> Iterator[Any]:
    """Copies of parts of it, of AT_ONCE elements at most, that make up the request: its own unknown fields apart."""
    long = _long_fields(request)
    rest = type(request)()
    _copy_but(request, rest, long)
    yield rest
    for name in long:
        elements = getattr(request, name)
        for at in range(0, len(elements), AT_ONCE):
            piece = type(request)()
            getattr(piece, name).extend(elements[at : at + AT_ONCE])
            yield piece


def _long_fields(request: Any) -> list[str]:
    """Names of lists; a map cannot be taken apart."""
    return [
        field.name
        for field, value in request.ListFields()
        if field.is_repeated and len(value) > AT_ONCE and not isinstance(value, Mapping)
    ]


def _copy_but(request: Any, out: Any, names: Sequence[str]) -> None:
    for field, value in request.ListFields():
        if field.name in names:
            continue
        if not field.is_repeated and field.message_type is None:
            setattr(out, field.name, value)
        else:  # maps and lists as well
            getattr(out, field.name).MergeFrom(value)

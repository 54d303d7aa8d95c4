"""Copies requests a few thousand elements at a time.

A history of 31 MB has half a million messages, and protobuf copies a list in a single call into C that holds the GIL
for 50 to 150 ms. Copying in steps lets the event loop run in between.

    out = copied(request)
    extend(out.messages, messages)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

# Copying this many takes 1 ms.
AT_ONCE = 4096

_Request = TypeVar("_Request", bound=Any)


def extend(elements: Any, more: Sequence[Any]) -> None:
    """Like `elements.extend(more)` of a repeated field, with copies."""
    if len(more) <= AT_ONCE:
        elements.extend(more)
        return
    for at in range(0, len(more), AT_ONCE):
        elements.extend(more[at : at + AT_ONCE])


def copied(request: _Request) -> _Request:
    """Returns a copy. For a large request, unknown fields are not copied."""
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
    """Yields copies of parts, with at most AT_ONCE elements each, that add up to the request, except for its
    unknown fields."""
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

"""Removes members that a route drops from a body that passes through; values without any of them keep their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.json_object import ARRAYS, MALFORMED
from adapters.members import VARIANTS
from adapters.thoughts import opened


class _Gone:
    """Marks a value that is removed as a whole."""


_GONE = _Gone()


def without_member(members: dict[str, bytes], name: str) -> bool:
    """Removes the member with this name (`a.b[].c`) everywhere in a body's members. Returns whether there was one.
    The name of a kind of value (VARIANTS) removes the values of that kind."""
    path, kind = name.split("."), ""
    if name in VARIANTS:
        *path, kind = path
    head = path[0].removesuffix("[]")
    if head not in members:
        return False
    raw = msgspec.Raw(members[head])
    made = _value(raw, path, kind) if len(path) > 1 or kind else _GONE
    if made is raw:
        return False
    if made is _GONE:
        del members[head]
    else:
        members[head] = msgspec.json.encode(made)
    return True


def _value(raw: msgspec.Raw, path: Sequence[str], kind: str) -> Any:
    """Returns the value of path[0]: unchanged, with less in it, or _GONE."""
    if not path[0].endswith("[]"):
        return _item(raw, path[1:], kind)
    items = _items(raw)
    made = [_item(item, path[1:], kind) for item in items]
    if all(after is before for after, before in zip(made, items, strict=True)):
        return raw
    return [item for item in made if item is not _GONE] or _GONE


def _item(raw: msgspec.Raw, path: Sequence[str], kind: str) -> Any:
    members: dict[str, Any] = dict(opened(raw))
    if not path:
        return _GONE if bytes(members.get("type", b"")) == b'"%b"' % kind.encode() else raw
    name = path[0].removesuffix("[]")
    if name not in members:
        return raw
    before = members[name]
    after = _value(before, path, kind) if len(path) > 1 or kind else _GONE
    if after is before:
        return raw
    if after is _GONE:
        del members[name]
        return members or _GONE
    return {**members, name: after}


def _items(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        items: list[msgspec.Raw] = ARRAYS.decode(raw)
    except MALFORMED:
        return []
    return items

"""Where a text's words come from: `annotations` of a message of chat completions, as the part of an item has them.

Chat completions box a citation of a web page (`{"type": "url_citation", "url_citation": {...}}`); items have its members next to
the type. What is of another kind stays at the top of the response, as it came.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.json_object import ARRAYS, MALFORMED, OBJECTS

MEMBER = "annotations"
_KIND = "url_citation"
_CITATION = b'"url_citation"'
Annotation = dict[str, Any]


def taken_out(members: str) -> tuple[list[Annotation], str]:
    """Those for a part, and the members without them, both of an object's text."""
    if f'"{MEMBER}"' not in members or _KIND not in members:
        return [], members
    try:
        rest: dict[str, Any] = dict(OBJECTS.decode(members))
        each = [OBJECTS.decode(raw) for raw in ARRAYS.decode(rest[MEMBER])]
        found = [_flat(one) for one in each if _is_citation(one)]
        others = [one for one in each if not _is_citation(one)]
    except (*MALFORMED, KeyError):
        return [], members
    if others:
        rest[MEMBER] = others
    else:
        del rest[MEMBER]
    return found, msgspec.json.encode(rest).decode() if rest else ""


def _is_citation(members: dict[str, msgspec.Raw]) -> bool:
    return bytes(members.get("type", b"")) == _CITATION and bytes(members.get(_KIND, b"")).startswith(b"{")


def _flat(members: dict[str, msgspec.Raw]) -> Annotation:
    return {"type": members["type"], **OBJECTS.decode(members[_KIND])}

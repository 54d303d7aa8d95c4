"""Echoes and names in a body that passes through: edits the JSON text of `messages` where the provider refuses
unknown members."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.echo_names import CALL, FUNCTION, OTHER, OTHER_IN_CALL, Known
from adapters.echoes import string_or_json
from adapters.json_object import ARRAYS, MALFORMED
from adapters.members import HINTS
from adapters.thoughts import opened

_NULL = msgspec.Raw(b"null")


def strip_messages(raw: bytes, leaves: frozenset[str], knows: Known | None = None) -> tuple[bytes, tuple[str, ...]]:
    """Returns `messages` without the echoes in `leaves`, and the names of what was left out; with `knows`, also
    without what that does not list in assistant turns. All other members keep their bytes, and so do messages
    without any of these. Anything but a list of objects is left for the provider to refuse."""
    try:
        messages: list[msgspec.Raw] = ARRAYS.decode(raw)
    except MALFORMED:
        return raw, ()
    left_out: dict[str, None] = {}
    made = [_stripped(message, leaves, knows, left_out) for message in messages]
    if all(after is before for after, before in zip(made, messages, strict=True)):
        return raw, ()
    return msgspec.json.encode(made), tuple(left_out)


def _stripped(raw: msgspec.Raw, leaves: frozenset[str], knows: Known | None, left_out: dict[str, None]) -> Any:
    members = dict(opened(raw))
    role = bytes(members.get("role", b""))
    before = dict(members)
    _without(members, "messages[].", leaves & HINTS if role != b'"assistant"' else leaves, left_out, keep=_kept(role))
    if role != b'"assistant"':
        return raw if members == before else members
    if (content := members.get("content")) is not None and bytes(content).startswith(b"["):
        members["content"] = _parts_without(content, leaves, left_out)
    if knows is not None:
        _say_refusal(members)
        _only(members, knows.message, OTHER, left_out)
    if (calls := members.get("tool_calls")) is not None and bytes(calls).startswith(b"["):
        members["tool_calls"] = _calls_without(calls, leaves, knows, left_out)
    return raw if members == before else members


def _only(members: dict[str, Any], known: frozenset[str], name: str, left_out: dict[str, None]) -> None:
    """Removes members that the provider does not know, and nulls: OpenAI's SDK writes all members of an answer,
    unset ones as null, which a strict provider may refuse."""
    for each in [each for each, raw in members.items() if each not in known or (raw == _NULL and each != "content")]:
        if bytes(members.pop(each)) not in (b"null", b'""', b"[]"):
            left_out[name] = None


def _say_refusal(members: dict[str, Any]) -> None:
    """The refusal text of an earlier answer is part of what the assistant said."""
    words = members.get("refusal", _NULL)
    if not bytes(words).startswith(b'"') or bytes(words) == b'""':
        return
    del members["refusal"]
    content = members.get("content", _NULL)
    content = content if isinstance(content, msgspec.Raw) else msgspec.Raw(msgspec.json.encode(content))
    if bytes(content) in (b"null", b'""', b"[]"):
        members["content"] = words
    elif bytes(content).startswith(b"["):
        members["content"] = [*_items(content), {"type": "text", "text": words}]
    else:
        members["content"] = [{"type": "text", "text": each} for each in (content, words)]


def _kept(role: bytes) -> frozenset[str]:
    """The name in a tool message is not that of a speaker."""
    return frozenset({"name"}) if role in (b'"tool"', b'"function"') else frozenset()


def _without(
    members: dict[str, Any],
    place: str,
    leaves: frozenset[str],
    left_out: dict[str, None],
    *,
    keep: frozenset[str] = frozenset(),
) -> None:
    for name in [name for name in members if place + name in leaves and name not in keep]:
        if bytes(members.pop(name)) not in (b"null", b'""'):
            left_out[place + name] = None


def _parts_without(raw: msgspec.Raw, leaves: frozenset[str], left_out: dict[str, None]) -> Any:
    kept = []
    parts = _items(raw)
    for part in parts:
        place = f"messages[].content[].{string_or_json(opened(part).get('type', msgspec.Raw(b'null')))}"
        if place in leaves:
            left_out[place] = None
        else:
            kept.append(part)
    if len(kept) == len(parts):
        return raw
    return kept or ""  # a message needs some content


def _calls_without(raw: msgspec.Raw, leaves: frozenset[str], knows: Known | None, left_out: dict[str, None]) -> Any:
    if knows is None and not leaves & (CALL | FUNCTION):
        return raw
    made, calls = [], _items(raw)
    for call in calls:
        members: dict[str, Any] = dict(opened(call))
        before = dict(members)
        _without(members, "messages[].tool_calls[].", leaves, left_out)
        if knows is not None:
            _only(members, knows.call | {"custom"}, OTHER_IN_CALL, left_out)
        if (function := members.get("function")) is not None:
            inner: dict[str, Any] = dict(opened(function))
            size = len(inner)
            _without(inner, "messages[].tool_calls[].function.", leaves, left_out)
            if knows is not None:
                _only(inner, knows.function, OTHER_IN_CALL, left_out)
            if len(inner) < size:
                members["function"] = inner
        made.append(call if members == before else members)
    return raw if all(after is call for after, call in zip(made, calls, strict=True)) else made


def _items(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        items: list[msgspec.Raw] = ARRAYS.decode(raw)
    except MALFORMED:
        return []
    return items

"""JSON whose numbers, key order and spelling must survive: members are opened one level at a time and kept as raw text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from adapters.errors import GatewayError, Kind
from adapters.json_object import ARRAYS, MALFORMED, OBJECTS, STRINGS, callers_object, merge
from adapters.json_object import object_text as not_null_text

Raw = msgspec.Raw
Members = dict[str, msgspec.Raw]

__all__ = [
    "Members", "Raw", "callers_object", "count", "inner", "is_object", "items", "member", "merged", "object_text", "opened",
    "quoted", "rest", "string", "text_of",
]  # fmt: skip

_INT32_MAX = 2**31 - 1
_INTEGERS = msgspec.json.Decoder(int)


def opened(body: bytes, what: str) -> Members:
    """The members of a provider's JSON object; upstream_protocol for anything else."""
    try:
        # By way of str: msgspec passes over string bytes in raw members unchecked, and protobuf takes only valid UTF-8.
        return OBJECTS.decode(body.decode())
    except MALFORMED as error:
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, f"the provider sent {what} that is not a JSON object") from error


def member(members: Mapping[str, Raw], name: str) -> Raw | None:
    """The member's raw text; None where it is absent or null, which the API does not tell apart."""
    raw = members.get(name)
    return None if raw is None or bytes(raw) == b"null" else raw


def inner(members: Mapping[str, Raw], name: str) -> Members:
    """The members of an object inside an answer; {} where it is absent."""
    raw = member(members, name)
    return {} if raw is None else opened(bytes(raw), f"a member {name}")


def items(members: Mapping[str, Raw], name: str) -> list[Raw]:
    raw = member(members, name)
    try:
        return [] if raw is None else ARRAYS.decode(raw)
    except MALFORMED as error:
        raise _wrong(name, "an array") from error


def string(members: Mapping[str, Raw], name: str) -> str:
    """A string member, "" where it is absent."""
    raw = member(members, name)
    try:
        return "" if raw is None else STRINGS.decode(raw)
    except MALFORMED as error:
        raise _wrong(name, "a string") from error


def count(members: Mapping[str, Raw], name: str) -> int | None:
    """A count of 0 or more that fits int32, None where it is absent."""
    raw = member(members, name)
    if raw is None:
        return None
    try:
        value = _INTEGERS.decode(raw)
    except MALFORMED as error:
        raise _wrong(name, "a whole number") from error
    if not 0 <= value <= _INT32_MAX:
        raise _wrong(name, "a count")
    return value


def text_of(raw: Raw) -> str:
    return bytes(raw).decode()


def rest(members: Mapping[str, Raw], known: Iterable[str]) -> str | None:
    """What an answer says beyond the known members, as the text of one JSON object; None where that is nothing."""
    known = frozenset(known)
    return not_null_text({name: raw for name, raw in members.items() if name not in known})


def object_text(members: Mapping[str, Any]) -> str:
    return msgspec.json.encode(members).decode()


def merged(fields: dict[str, Any], extras: Iterable[tuple[str, str]], owned: frozenset[str]) -> dict[str, Any]:
    """`fields` with the members of each extra_json (param, text) under them. A member that a field owns is refused."""
    out = dict(fields)
    for param, text in extras:
        if text:
            merge(out, text, param, owned)
    return out


def is_object(text: str) -> bool:
    try:
        OBJECTS.decode(text)
    except MALFORMED:
        return False
    return True


def quoted(value: str) -> Raw:
    return Raw(json.dumps(value).encode())


def _wrong(name: str, wanted: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"the provider sent a {name} that is not {wanted}")

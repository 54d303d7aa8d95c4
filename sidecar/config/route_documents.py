"""The contents of `routes.d/` as documents that gateways share: a route with its keys, and the limits that were set
for one.

    r:NAME   {"form": 1, "text": the contents of the route's file, "keys": {name: key}}
    l:NAME   {"form": 1, "limits": [...]}

A document in an unknown form is refused, and so is one that no gateway could have written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sidecar.config.names import ROUTE_NAME
from sidecar.config.route_store import RouteFiles, references
from sidecar.domain.snapshot import Limit

ROUTE, LIMITS = "r:", "l:"
_FORM = 1
_KEY_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_UNITS = ("requests", "tokens", "concurrent")


class NotUnderstood(ValueError):
    """A document that this gateway cannot use; the text gives the reason, without a key."""


@dataclass(frozen=True, slots=True)
class RouteDocument:
    """A route's file and the keys that it names."""

    text: str
    keys: Mapping[str, str] = field(repr=False)


def route_document(text: str, keys: Mapping[str, str]) -> bytes:
    return _written({"text": text, "keys": dict(keys)})


def limits_document(limits: tuple[Limit, ...]) -> bytes:
    return _written({"limits": [asdict(limit) for limit in limits]})


def documents_of(files: RouteFiles) -> dict[str, bytes]:
    """Returns all documents on disk, by name, without routes that lack a key. Raises OSError, ValueError. Blocks."""
    found = {}
    for text in files.texts().values():
        keys = {name: files.secret(name) for name in references(text)}
        if (name := _name_in(text)) is not None and None not in keys.values():
            found[ROUTE + name] = route_document(text, {key: value or "" for key, value in keys.items()})
    for name, limits in files.limits().items():
        found[LIMITS + name] = limits_document(limits)
    return found


def has_keys(document: bytes) -> bool:
    return bool(json.loads(document).get("keys"))


def route_of(name: str, document: bytes) -> RouteDocument:
    """`name` has no prefix. The configuration validates the route itself. Raises NotUnderstood."""
    value = _opened(name, document)
    text, keys = value.get("text"), value.get("keys")
    if not isinstance(text, str) or not isinstance(keys, dict) or _name_in(text) != name:
        raise NotUnderstood("it is not a route of this name")
    if not all(isinstance(key, str) and _KEY_NAME.fullmatch(each) for each, key in keys.items()):
        raise NotUnderstood("its keys have names that no gateway gives")
    if set(references(text)) != set(keys):
        raise NotUnderstood("it names other keys than those that it has")
    return RouteDocument(text, keys)


def limits_of(name: str, document: bytes) -> tuple[Limit, ...]:
    """`name` has no prefix. Raises NotUnderstood."""
    rows = _opened(name, document).get("limits")
    try:
        limits = tuple(Limit(**row) for row in rows)  # type: ignore[union-attr]
    except TypeError:
        raise NotUnderstood("its limits have members that this release does not know") from None
    if not all(map(_is_sound, limits)):
        raise NotUnderstood("it has a limit that no gateway takes")
    return limits


def _is_sound(limit: Limit) -> bool:
    numbers = type(limit.count) is int and type(limit.per_s) is int and limit.count >= 0
    return limit.unit in _UNITS and numbers and (limit.per_s == 0 if limit.unit == "concurrent" else limit.per_s > 0)


def _opened(name: str, document: bytes) -> dict[str, Any]:
    try:
        value = json.loads(document)
    except ValueError:
        value = None
    if not isinstance(value, dict) or not ROUTE_NAME.pattern.fullmatch(name):
        raise NotUnderstood("it is not what a gateway writes")
    if value.get("form") != _FORM:
        raise NotUnderstood("a newer release wrote it")
    return value


def _name_in(text: str) -> str | None:
    """The name in a file written by the gateway: one route in JSON."""
    try:
        name = json.loads(text)["routes"][0]["name"]
    except (ValueError, LookupError, TypeError):
        return None
    return name if isinstance(name, str) else None


def _written(value: dict[str, Any]) -> bytes:
    """The same bytes for the same content."""
    return json.dumps({"form": _FORM, **value}, sort_keys=True, separators=(",", ":")).encode()

"""The role developer, which OpenAI made in place of system: most providers of its format know system only."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Target
from adapters.json_object import MALFORMED

_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
DEVELOPER = b'"developer"'
_SYSTEM = msgspec.Raw(b'"system"')


def knows_developer(target: Target) -> bool:
    return not target.provider.options.get("only_system", False)


def with_system(messages: list[dict[str, Any]]) -> None:
    """Messages of a request, changed in place."""
    for message in messages:
        if message["role"] == "developer":
            message["role"] = "system"


def with_system_in_body(raw: bytes) -> bytes:
    """The same for `messages` of a body that passes (where DEVELOPER is in them): every other member keeps its bytes."""
    try:
        messages = _OBJECTS.decode(raw)
    except MALFORMED:
        return raw  # the provider's to refuse
    found = [message for message in messages if bytes(message.get("role", b"")) == DEVELOPER]
    for message in found:
        message["role"] = _SYSTEM
    return msgspec.json.encode(messages) if found else raw

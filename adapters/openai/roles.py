"""The role developer, which OpenAI introduced in place of system: most providers of its format only know system."""

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
    """Changes messages of a request in place."""
    for message in messages:
        if message["role"] == "developer":
            message["role"] = "system"


def with_system_in_body(raw: bytes) -> bytes:
    """The same for `messages` of a body that passes through (if it contains DEVELOPER): all other members keep
    their bytes."""
    try:
        messages = _OBJECTS.decode(raw)
    except MALFORMED:
        return raw  # left for the provider to refuse
    found = [message for message in messages if bytes(message.get("role", b"")) == DEVELOPER]
    for message in found:
        message["role"] = _SYSTEM
    return msgspec.json.encode(messages) if found else raw

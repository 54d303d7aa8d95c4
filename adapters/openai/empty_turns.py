"""Empty assistant turns, without text or calls, from answers that only consisted of reasoning or were cut off.

OpenAI's format requires `content` in them. Mistral refuses them ("Assistant message must have either content or
tool_calls, but not none"), so they are left out of the history there; nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.contract import Target
from adapters.json_object import MALFORMED

_MESSAGES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_NOTHING = re.compile(rb'(?:""|null|\[\s*\])?')
_MAY_BE_EMPTY = re.compile(rb'"content"\s*:\s*(?:""|null|\[\s*\])')
_SAYS = ("content", "tool_calls", "function_call", "refusal", "audio")


def with_content(message: dict[str, Any]) -> None:
    """Adds content to a message of a request, in place: empty, or null next to calls."""
    if not any(name in message for name in ("content", "function_call", "refusal", "audio")):
        message["content"] = None if "tool_calls" in message else ""


def without_empty_turns(messages: list[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Returns the messages of a request that this provider accepts."""
    if target.provider.options.get("turns_know") is not None:
        for message in messages:
            if refusal := message.pop("refusal", None):  # text of the assistant in a member that only OpenAI has
                message["content"] = _with_refusal(message.get("content"), refusal)
    if not _refuses(target):
        return messages
    return [each for each in messages if each["role"] != "assistant" or any(each.get(name) for name in _SAYS)]


def _with_refusal(content: Any, refusal: str) -> Any:
    if not content:
        return refusal
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [*parts, {"type": "text", "text": refusal}]


def without_empty_turns_in_body(raw: bytes, target: Target) -> bytes:
    """The same for `messages` of a body that passes through. Malformed parts are left for the provider to refuse."""
    if not _refuses(target) or not (_MAY_BE_EMPTY.search(raw) or raw.count(b'"content"') < raw.count(b'"role"')):
        return raw
    try:
        messages = _MESSAGES.decode(raw)
    except MALFORMED:
        return raw
    kept = [message for message in messages if not _is_empty(message)]
    return msgspec.json.encode(kept) if len(kept) < len(messages) else raw


def _refuses(target: Target) -> bool:
    return bool(target.provider.options.get("refuses_empty_turns"))


def _is_empty(message: Mapping[str, msgspec.Raw]) -> bool:
    if bytes(message.get("role", b"")) != b'"assistant"':
        return False
    return all(_NOTHING.fullmatch(bytes(message.get(name, b""))) for name in _SAYS)

"""Converts ids of tool calls from another provider to the form that this one accepts."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from adapters.json_object import MALFORMED

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class IdForm:
    """What a provider accepts: ids that match the pattern. Others become `length` letters and digits."""

    pattern: re.Pattern[str]
    length: int

    def fit(self, id_: str) -> str:
        """Always the same result for the same id, so that calls and results match and caches stay valid."""
        if not id_ or self.pattern.fullmatch(id_):
            return id_
        number = int.from_bytes(hashlib.sha256(id_.encode("utf-8", "surrogatepass")).digest(), "big")
        letters = []
        for _ in range(self.length):
            number, digit = divmod(number, len(_DIGITS))
            letters.append(_DIGITS[digit])
        return "".join(letters)


# "messages.N.content.N.tool_use.id: String should match pattern", from the API; 24 letters and digits do not
# collide.
CLAUDE_IDS = IdForm(re.compile(r"[a-zA-Z0-9_-]+"), 24)
# "Tool call id was ... but must be a-z, A-Z, 0-9, with a length of 9."
MISTRAL_IDS = IdForm(re.compile(r"[a-zA-Z0-9]{9}"), 9)

_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def fit_ids(messages: list[dict[str, Any]], form: IdForm) -> None:
    """Changes the ids of calls and results in messages of OpenAI's format, in place."""
    for message in messages:
        if "tool_call_id" in message:
            message["tool_call_id"] = form.fit(message["tool_call_id"])
        for call in message.get("tool_calls", ()):
            call["id"] = form.fit(call["id"])


def fit_ids_in_body(raw: bytes, form: IdForm) -> bytes:
    """The same for `messages` of a body that passes through: other members keep their bytes. Malformed parts are
    left for the provider to refuse."""
    if b'"tool_call' not in raw:
        return raw
    try:
        messages = _OBJECTS.decode(raw)
        changed = [_fit(message, "tool_call_id", form) | _fit_calls(message, form) for message in messages]
    except MALFORMED:
        return raw
    return msgspec.json.encode(messages) if any(changed) else raw


def _fit_calls(message: dict[str, msgspec.Raw], form: IdForm) -> bool:
    raw = message.get("tool_calls")
    if raw is None or not bytes(raw).startswith(b"["):
        return False
    calls = _OBJECTS.decode(raw)
    changed = [_fit(call, "id", form) for call in calls]
    if any(changed):
        message["tool_calls"] = msgspec.Raw(msgspec.json.encode(calls))
    return any(changed)


def _fit(members: dict[str, msgspec.Raw], name: str, form: IdForm) -> bool:
    raw = members.get(name)
    if raw is None or not bytes(raw).startswith(b'"'):
        return False
    id_ = msgspec.json.decode(raw, type=str)
    if (fitted := form.fit(id_)) == id_:
        return False
    members[name] = msgspec.Raw(msgspec.json.encode(fitted))
    return True

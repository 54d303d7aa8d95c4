"""Adds what two providers require next to tool calls, and what calls of other models lack.

DeepSeek, while a model thinks: "Missing `reasoning_content` field in the assistant message at message index 2"
(https://api-docs.deepseek.com/guides/thinking_mode#tool-calls). An empty one is accepted.

Gemini, from its third generation on: "Function call is missing a thought_signature". For calls that come from
another model it documents a signature that is not checked
(https://ai.google.dev/gemini-api/docs/thought-signatures#faqs); of parallel calls, only the first has one.

Otherwise a conversation that another provider began, or whose client has lost them, would end here. They are only
added to a history with tool calls: other bodies keep their bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from adapters.contract import Target
from adapters.json_object import MALFORMED
from adapters.thoughts import opened

Messages = Sequence[dict[str, Any]]
# Changes messages in place. Returns whether anything was added.
_Addition = Callable[[Messages], bool]

UNCHECKED_SIGNATURE = "skip_thought_signature_validator"
_BEFORE_SIGNATURES = ("gemini-1", "gemini-2", "gemma")
_TREES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def complete_calls(messages: list[dict[str, Any]], target: Target, thinking: str) -> None:
    """Changes messages of a request in place. `thinking` is the text of that member, "" for none."""
    if (add := _addition(target, thinking.encode("utf-8", "replace"))) is not None:
        add(messages)


def completed_calls_in_body(raw: bytes, target: Target, thinking: bytes) -> bytes:
    """The same for `messages` of a body that passes through: other members keep their bytes. Malformed parts are
    left for the provider to refuse."""
    if b'"tool_calls"' not in raw or (add := _addition(target, thinking)) is None:
        return raw
    try:
        messages = _TREES.decode(raw)
        return msgspec.json.encode(messages) if add(messages) else raw
    except MALFORMED:
        return raw


def _addition(target: Target, thinking: bytes) -> _Addition | None:
    match target.provider.options.get("calls_want"):
        case "reasoning_content" if _thinks(target.model, thinking):
            return _add_thoughts
        case "thought_signature" if not any(name in target.model for name in _BEFORE_SIGNATURES):
            return _add_signatures
        case _:
            return None


def _thinks(model: str, thinking: bytes) -> bool:
    """Whether the model thinks: as requested, otherwise all of DeepSeek's models except this one."""
    switch = bytes(opened(thinking).get("type", b""))
    return switch != b'"disabled"' and (bool(switch) or model != "deepseek-chat")


def _add_thoughts(messages: Messages) -> bool:
    turns = [message for message in messages if _read(message.get("role")) == "assistant"]
    if not any(_calls(turn) for turn in turns):
        return False
    without = [turn for turn in turns if _read(turn.get("reasoning_content")) is None]
    for turn in without:
        turn["reasoning_content"] = ""
    return bool(without)


def _add_signatures(messages: Messages) -> bool:
    return any([_sign(message) for message in messages if _calls(message)])  # noqa: C419 - no short circuit


def _sign(message: dict[str, Any]) -> bool:
    calls = _calls(message)
    if any(_signature(call) for call in calls):
        return False
    extra = _read(calls[0].get("extra_content"))
    extra = extra if isinstance(extra, dict) else {}
    google = extra.get("google")
    google = google if isinstance(google, dict) else {}
    calls[0]["extra_content"] = {**extra, "google": {**google, "thought_signature": UNCHECKED_SIGNATURE}}
    message["tool_calls"] = calls
    return True


def _signature(call: dict[str, Any]) -> Any:
    extra = _read(call.get("extra_content"))
    return isinstance(extra, dict) and any(
        isinstance(each, dict) and each.get("thought_signature") for each in extra.values()
    )


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of a message; their members stay as they are."""
    found = message.get("tool_calls")
    if isinstance(found, msgspec.Raw):
        return _TREES.decode(found) if bytes(found).startswith(b"[") else []
    return found or []


def _read(value: Any) -> Any:
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value

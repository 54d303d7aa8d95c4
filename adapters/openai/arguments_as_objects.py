"""Makes the arguments of calls in a history JSON objects.

Servers that put a history into the model's template parse these arguments, and refuse the whole request if they are
not a JSON object: vLLM, SGLang and llama.cpp (`json.loads`), Ollama ("invalid tool call arguments"), Gemini (a
Struct). `adapters.tool_arguments` describes the replacement. Other bodies keep their bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.json_object import MALFORMED
from adapters.tool_arguments import as_object, is_object

OPTION = "arguments_are_objects"


class _Function(msgspec.Struct):
    arguments: msgspec.Raw = msgspec.Raw(b'""')


class _Call(msgspec.Struct):
    function: _Function | None = None


class _Message(msgspec.Struct):
    tool_calls: list[_Call] | None = None


_MESSAGES = msgspec.json.Decoder(list[_Message])
_TREES = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_CALLS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_TEXTS = msgspec.json.Decoder(str)


def write_objects(messages: list[dict[str, Any]]) -> bool:
    """Changes messages of a request in place. Returns whether anything was changed."""
    changed = False
    for message in messages:
        for call in message.get("tool_calls") or ():
            function = call.get("function")
            if isinstance(function, dict) and isinstance(written := function.get("arguments"), str):
                function["arguments"], same = as_object(written)
                changed = changed or not same
    return changed


def written_as_objects(raw: bytes) -> tuple[bytes, bool]:
    """The same for `messages` of a body that passes through. Malformed parts are left for the provider to refuse."""
    try:
        if all(is_object(text) for text in _arguments(raw)):
            return raw, False
        messages = _TREES.decode(raw)
        changed = [_rewrite(message) for message in messages if bytes(message.get("tool_calls", b"")).startswith(b"[")]
        return msgspec.json.encode(messages), any(changed)
    except MALFORMED:
        return raw, False


def _arguments(raw: bytes) -> Iterator[str]:
    for message in _MESSAGES.decode(raw):
        for call in message.tool_calls or ():
            if call.function is not None:
                yield _TEXTS.decode(call.function.arguments)


def _rewrite(message: dict[str, Any]) -> bool:
    calls = _CALLS.decode(message["tool_calls"])
    changed = False
    for call in calls:
        if not bytes(call.get("function", b"")).startswith(b"{"):
            continue
        function = msgspec.json.decode(call["function"], type=dict[str, msgspec.Raw])
        text, same = as_object(_TEXTS.decode(function.get("arguments", b'""')))
        changed = changed or not same
        function["arguments"] = msgspec.Raw(msgspec.json.encode(text))
        call["function"] = msgspec.Raw(msgspec.json.encode(function))
    message["tool_calls"] = calls
    return changed

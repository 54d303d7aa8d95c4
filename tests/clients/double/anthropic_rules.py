"""What Anthropic's API refuses, in its words: members it does not know, thoughts that are lost or that it did not sign, results
without calls. From its documentation and from recorded refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_MEMBERS = frozenset(
    {"model", "messages", "max_tokens", "system", "stream", "tools", "tool_choice", "stop_sequences", "temperature"}
    | {"top_p", "top_k", "metadata", "service_tier", "thinking", "output_config", "container", "context_management"}
    | {"cache_control", "inference_geo"}
)
_BLOCKS: dict[str, frozenset[str]] = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "image": frozenset({"type", "source", "cache_control"}),
    "document": frozenset({"type", "source", "cache_control", "citations", "context", "title"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control", "caller"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
}
_TOOL = frozenset(
    {"type", "name", "description", "input_schema", "cache_control", "strict", "input_examples"}
    | {"defer_loading", "allowed_callers", "eager_input_streaming"}
)
_EXTRA = "Extra inputs are not permitted"

Signature = Callable[[str], str]


def broken_rule(body: Mapping[str, Any], signature: Signature) -> str | None:
    """The message of the refusal; None if the request is fine."""
    for check in (_members, _tools, _messages, _results, _thinking):
        if (problem := check(body)) is not None:
            return problem
    return _signatures(body, signature)


def _members(body: Mapping[str, Any]) -> str | None:
    if unknown := sorted(body.keys() - _MEMBERS):
        return f"{unknown[0]}: {_EXTRA}"
    return None if body.get("max_tokens") else "max_tokens: Field required"


def _tools(body: Mapping[str, Any]) -> str | None:
    for number, tool in enumerate(body.get("tools") or ()):
        if unknown := sorted(tool.keys() - _TOOL):
            return f"tools.{number}.custom.{unknown[0]}: {_EXTRA}"
        if tool["input_schema"].get("type") != "object":
            return f"tools.{number}.custom.input_schema.type: Field required"
    return None


def _messages(body: Mapping[str, Any]) -> str | None:
    for number, message in enumerate(body["messages"]):
        if unknown := sorted(message.keys() - {"role", "content"}):
            return f"messages.{number}.{unknown[0]}: {_EXTRA}"
        if not message["content"] and number + 1 < len(body["messages"]):
            return f"messages.{number}: all messages must have non-empty content except for the optional final assistant message"
        for place, block in enumerate(_blocks(message)):
            allowed = _BLOCKS.get(block["type"])
            if allowed is None:
                return (
                    f"messages.{number}.content.{place}: Input tag '{block['type']}' found using 'type' does not match"
                )
            if unknown := sorted(block.keys() - allowed):
                return f"messages.{number}.content.{place}.{block['type']}.{unknown[0]}: {_EXTRA}"
            if block["type"] == "text" and not block["text"].strip():
                return "messages: text content blocks must contain non-whitespace text"
    return None


def _results(body: Mapping[str, Any]) -> str | None:
    """Each call is answered in the next message, and nothing else is."""
    called: set[str] = set()
    for number, message in enumerate(body["messages"]):
        results = {block["tool_use_id"] for block in _blocks(message) if block["type"] == "tool_result"}
        if stray := results - called:
            return f"messages.{number}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {min(stray)}."
        if lost := called - results:
            ids = min(lost)
            return f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}."
        called = {block["id"] for block in _blocks(message) if block["type"] == "tool_use"}
    return None


def _thinking(body: Mapping[str, Any]) -> str | None:
    thinking = body.get("thinking") or {}
    if thinking.get("type") not in ("enabled", "adaptive"):
        return None
    if thinking["type"] == "enabled" and thinking["budget_tokens"] >= body["max_tokens"]:
        return "`max_tokens` must be greater than `thinking.budget_tokens`."
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        return "Thinking may not be enabled when tool_choice forces tool use."
    if body.get("temperature", 1) != 1:
        return "`temperature` may only be set to 1 when thinking is enabled."
    return _thought_first(body["messages"]) if thinking["type"] == "enabled" else None


def _thought_first(messages: list[dict[str, Any]]) -> str | None:
    """Turns that called tools go on only with the thought that they started with."""
    number = len(messages)
    while number and (messages[number - 1]["role"] == "assistant" or _is_result(messages[number - 1])):
        number -= 1
    if number == len(messages) or messages[-1]["role"] == "assistant":
        return None
    first = _blocks(messages[number])[0]["type"]
    if first in ("thinking", "redacted_thinking"):
        return None
    return (
        f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. "
        "When `thinking` is enabled, a final `assistant` message must start with a thinking block."
    )


def _is_result(message: Mapping[str, Any]) -> bool:
    return any(block["type"] == "tool_result" for block in _blocks(message))


def _signatures(body: Mapping[str, Any], signature: Signature) -> str | None:
    for number, message in enumerate(body["messages"]):
        for place, block in enumerate(_blocks(message)):
            if block["type"] == "thinking" and block.get("signature") != signature(block["thinking"]):
                return f"messages.{number}.content.{place}: Invalid `signature` in `thinking` block"
    return None


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else [{"type": "text", "text": content}]

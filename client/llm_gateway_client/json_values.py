"""Reads JSON of OpenAI's format into values. Lenient: missing or malformed members are skipped and stay in `raw`."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from llm_gateway_client.errors import BadAnswer
from llm_gateway_client.values import (
    ChatChunk,
    ChatResponse,
    Choice,
    ChunkChoice,
    CompletionChoice,
    CompletionResponse,
    Delta,
    Embedding,
    EmbedResponse,
    Json,
    Logprobs,
    Message,
    Model,
    Route,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)

# Members in which providers put reasoning; the first one present is used.
_REASONING = ("reasoning_content", "reasoning")
# The fields of Usage -> their place in OpenAI's format.
USAGE_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "input_tokens": ("prompt_tokens",),
    "output_tokens": ("completion_tokens",),
    "total_tokens": ("total_tokens",),
    "cached_input_tokens": ("prompt_tokens_details", "cached_tokens"),
    "cache_write_tokens": ("prompt_tokens_details", "cache_write_tokens"),
    "reasoning_tokens": ("completion_tokens_details", "reasoning_tokens"),
}


def read_chat(answer: Json) -> ChatResponse:
    choices = tuple(
        Choice(_int(each, "index"), _message(_object(each, "message")), _text(each, "finish_reason"), _logprobs(each))
        for each in _objects(answer, "choices")
    )
    return ChatResponse(
        *_head(answer),
        choices,
        _usage(answer),
        _text(answer, "system_fingerprint"),
        _text(answer, "service_tier"),
        raw=answer,
    )


def read_chat_chunk(chunk: Json) -> ChatChunk:
    choices = tuple(
        ChunkChoice(_int(each, "index"), _delta(_object(each, "delta")), _text(each, "finish_reason"), _logprobs(each))
        for each in _objects(chunk, "choices")
    )
    return ChatChunk(*_head(chunk), choices, _usage(chunk), raw=chunk)


def read_completion(answer: Json) -> CompletionResponse:
    choices = tuple(
        CompletionChoice(
            _int(each, "index"), _text(each, "text") or "", _text(each, "finish_reason"), _optional(each, "logprobs")
        )
        for each in _objects(answer, "choices")
    )
    return CompletionResponse(*_head(answer), choices, _usage(answer), _text(answer, "system_fingerprint"), answer)


def read_embeddings(answer: Json) -> EmbedResponse:
    vectors = tuple(
        Embedding(_int(each, "index", at), _vector(each.get("embedding")))
        for at, each in enumerate(_objects(answer, "data"))
    )
    return EmbedResponse(_text(answer, "model") or "", vectors, _usage(answer), answer)


def read_route(route: Json) -> Route:
    """Reads {"name", "task", "model": {"provider", "name"}}."""
    model = _object(route, "model")
    return Route(
        _text(route, "name") or "",
        _text(route, "task") or "",
        Model(_text(model, "provider") or "", _text(model, "name") or ""),
    )


def _head(answer: Json) -> tuple[str, int, str]:
    return _text(answer, "id") or "", _int(answer, "created"), _text(answer, "model") or ""


def _message(message: Json) -> Message:
    return Message(
        role=_text(message, "role") or "assistant",
        content=_content(message.get("content")),
        refusal=_text(message, "refusal"),
        reasoning=_reasoning(message),
        tool_calls=tuple(_call(each) for each in _objects(message, "tool_calls")),
        reasoning_details=tuple(_objects(message, "reasoning_details")),
    )


def _delta(delta: Json) -> Delta:
    return Delta(
        role=_text(delta, "role"),
        content=_content(delta.get("content")),
        refusal=_text(delta, "refusal"),
        reasoning=_reasoning(delta),
        tool_calls=tuple(_call_piece(each) for each in _objects(delta, "tool_calls")),
        reasoning_details=tuple(_objects(delta, "reasoning_details")),
    )


def _content(content: Any) -> str | None:
    """Some providers answer with a list of parts."""
    if isinstance(content, list):
        texts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        return "".join(texts) if texts else None
    return content if isinstance(content, str) else None


def _reasoning(message: Json) -> str | None:
    return next((text for name in _REASONING if (text := _text(message, name)) is not None), None)


def _call(call: Json) -> ToolCall:
    id_ = _text(call, "id") or ""
    custom = _custom(call)
    if custom is not None:
        return ToolCall(id_, _text(custom, "name") or "", "", _text(custom, "input") or "")
    function = _object(call, "function")
    return ToolCall(id_, _text(function, "name") or "", _text(function, "arguments") or "")


def _call_piece(call: Json) -> ToolCallDelta:
    index, id_ = _int(call, "index"), _text(call, "id")
    custom = _custom(call)
    if custom is not None:
        return ToolCallDelta(index, id_, _text(custom, "name"), "", _text(custom, "input") or "")
    function = _object(call, "function")
    return ToolCallDelta(index, id_, _text(function, "name"), _text(function, "arguments") or "")


def _custom(call: Json) -> Json | None:
    """The custom tool's part. Some servers write an empty one next to a function's."""
    is_function = _optional(call, "function") is not None and call.get("type") != "custom"
    return None if is_function else _optional(call, "custom")


def _logprobs(choice: Json) -> Logprobs | None:
    found = _optional(choice, "logprobs")
    if found is None or "content" not in found:
        return None
    return Logprobs(_tokens(_objects(found, "content")), _tokens(_objects(found, "refusal")))


def _tokens(rows: Iterable[Json]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            _text(row, "token") or "",
            _number(row, "logprob"),
            _bytes(row.get("bytes")),
            _tokens(_objects(row, "top_logprobs")),
        )
        for row in rows
    )


def _bytes(value: Any) -> bytes | None:
    if not isinstance(value, list):
        return None
    try:
        return bytes(value)
    except (ValueError, TypeError):
        return None


def _usage(answer: Json) -> Usage | None:
    usage = _optional(answer, "usage")
    if usage is None:
        return None
    counts = {name: _count_at(usage, path) for name, path in USAGE_MEMBERS.items()}
    return _settled(Usage(**counts))


def _settled(usage: Usage) -> Usage:
    """Counts as the gateway does: output includes reasoning. Over REST, a body may pass through with the provider's
    counts."""
    prompt, answer, total = usage.input_tokens, usage.output_tokens, usage.total_tokens
    if prompt is None or answer is None:
        return usage
    thought = usage.reasoning_tokens or 0
    if not total:
        answer += thought if thought > answer else 0
    else:
        answer = total - prompt if total > prompt + answer else min(answer, total)
    return replace(
        usage,
        output_tokens=answer,
        total_tokens=total or prompt + answer,
        reasoning_tokens=None if usage.reasoning_tokens is None else min(thought, answer),
    )


def _count_at(usage: Json, path: tuple[str, ...]) -> int | None:
    *groups, member = path
    for group in groups:
        usage = _object(usage, group)
    return _count(usage, member)


def _vector(value: Any) -> tuple[float, ...]:
    """Reads numbers, or base64 of little-endian 32-bit floats."""
    try:
        if isinstance(value, str):
            data = base64.b64decode(value, validate=True)
            return struct.unpack(f"<{len(data) // 4}f", data)
        return tuple(float(number) for number in value)
    except (ValueError, TypeError, struct.error):
        raise BadAnswer("The gateway's answer holds what is no vector.") from None


def _optional(parent: Json, name: str) -> Json | None:
    value = parent.get(name)
    return value if isinstance(value, dict) else None


def _object(parent: Json, name: str) -> Json:
    return _optional(parent, name) or {}


def _objects(parent: Json, name: str) -> list[Json]:
    value = parent.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(parent: Json, name: str) -> str | None:
    value = parent.get(name)
    return value if isinstance(value, str) else None


def _count(parent: Json, name: str) -> int | None:
    value = parent.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _int(parent: Json, name: str, default: int = 0) -> int:
    value = _count(parent, name)
    return default if value is None else value


def _number(parent: Json, name: str) -> float:
    value = parent.get(name)
    return float(value) if isinstance(value, int | float) else 0.0

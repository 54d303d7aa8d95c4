"""Whole answers and streams around a usage, in the format of the provider that says it."""

from __future__ import annotations

from typing import Any

from adapters.providers import PROVIDERS
from tests.provider import data
from tests.provider.reply import event
from tests.spend.usage_shapes import Shape

OPENAI_HEAD: dict[str, Any] = {"id": "c", "created": 1, "model": "m"}
MESSAGE = {"role": "assistant", "content": "ok"}


def format_of(shape: Shape) -> str:
    return PROVIDERS[shape.provider].format


def answer(shape: Shape) -> dict[str, Any]:
    usage = shape.usage
    match format_of(shape):
        case "anthropic":
            message: dict[str, Any] = {
                "id": "m",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "stop_sequence": None,
            }
            content = [{"type": "text", "text": "ok"}]
            return {**message, "content": content, "stop_reason": "end_turn", "usage": usage}
        case "cohere":
            message = {"role": "assistant", "content": [{"type": "text", "text": "ok"}]}
            return {"id": "m", "finish_reason": "COMPLETE", "message": message, "usage": usage}
    choice = {"index": 0, "message": MESSAGE, "finish_reason": "stop"}
    return {**OPENAI_HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}


def completion(shape: Shape) -> dict[str, Any]:
    choice = {"index": 0, "text": "ok", "finish_reason": "stop", "logprobs": None}
    return {**OPENAI_HEAD, "object": "text_completion", "choices": [choice], "usage": shape.usage}


def events(shape: Shape) -> list[bytes]:
    match format_of(shape):
        case "anthropic":
            return _anthropic(shape.usage)
        case "cohere":
            return _cohere(shape.usage)
    head = {**OPENAI_HEAD, "object": "chat.completion.chunk"}
    message = {"index": 0, "delta": MESSAGE, "finish_reason": None}
    ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
    pieces: list[dict[str, Any]] = [{"choices": [message]}, {"choices": [ended]}, {"choices": [], "usage": shape.usage}]
    return [*(data({**head, **piece}) for piece in pieces), data("[DONE]")]


def _anthropic(usage: dict[str, Any]) -> list[bytes]:
    """The prompt's counts come first, the answer's last; servers repeat in the end what they like."""
    message: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    last = {"output_tokens": usage["output_tokens"], "cache_read_input_tokens": None}
    last |= {name: usage[name] for name in ("output_tokens_details",) if name in usage}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "usage": {**usage, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last},
        {"type": "message_stop"},
    ]
    return [event(str(each["type"]), each) for each in events]


def _cohere(usage: dict[str, Any]) -> list[bytes]:
    def content(**members: Any) -> dict[str, Any]:
        return {"message": {"content": members}}

    events: list[dict[str, Any]] = [
        {"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", "index": 0, "delta": content(type="text", text="")},
        {"type": "content-delta", "index": 0, "delta": content(text="ok")},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    ]
    return [*(event(str(each["type"]), each) for each in events), data("[DONE]")]

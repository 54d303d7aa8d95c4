"""Default answers of OpenAI and Anthropic: deterministic, and derived from the request only. Cohere's are in
cohere.py."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from tests.provider.cohere import cohere_chat, cohere_error, cohere_events, is_cohere
from tests.provider.openai_responses import is_responses, responses_answer, responses_events
from tests.provider.record import Call
from tests.provider.reply import Reply, data, event, json_reply, sse_reply

CREATED_S = 1_700_000_000
DIMENSIONS = 8

Body = Mapping[str, Any]


def text_of(content: Any) -> str:
    """Returns the text of a message's content, a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or () if isinstance(part, dict))


def answer_tokens(body: Body, count: int | None) -> list[str]:
    """Returns the tokens of the answer: `count` numbered words, or "echo: " and the last user message."""
    if count is not None:
        return [f"{'' if index == 0 else ' '}tok{index}" for index in range(count)]
    question = next(
        (text_of(m.get("content")) for m in reversed(body.get("messages") or []) if m.get("role") == "user"), ""
    )
    if not question and "input" in body:
        items = body["input"]
        last = items[-1] if isinstance(items, list) and items else items
        # The input of embeddings does not consist of messages.
        question = text_of(last.get("content")) if isinstance(last, dict) else str(last)
    if not question and "prompt" in body:
        prompt = body["prompt"]
        question = prompt if isinstance(prompt, str) else " ".join(str(piece) for piece in prompt)
    words = f"echo: {question}".split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]


def _openai_usage(body: Body, tokens: int) -> dict[str, Any]:
    prompt_tokens = len(json.dumps(body.get("messages") or body.get("prompt") or body.get("input") or "")) // 4
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": prompt_tokens + tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def openai_chat(body: Body, tokens: Sequence[str], call_id: int) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": "".join(tokens), "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
        for index in range(body.get("n") or 1)
    ]
    return {
        "id": f"chatcmpl-sim{call_id}",
        "object": "chat.completion",
        "created": CREATED_S,
        "model": body.get("model", ""),
        "choices": choices,
        "usage": _openai_usage(body, len(tokens)),
        "system_fingerprint": "fp_sim",
    }


def openai_chat_events(body: Body, tokens: Sequence[str], call_id: int) -> list[bytes]:
    """Yields the role, one delta per token, the finish reason, usage if it was requested, and [DONE]."""
    with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    head: dict[str, Any] = {
        "id": f"chatcmpl-sim{call_id}",
        "object": "chat.completion.chunk",
        "created": CREATED_S,
        "model": body.get("model", ""),
        "system_fingerprint": "fp_sim",
    }
    usage: dict[str, Any] = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data({**head, "choices": [choice], **usage})

    events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": token}) for token in tokens)]
    events.append(chunk({}, "stop"))
    if with_usage:
        events.append(data({**head, "choices": [], "usage": _openai_usage(body, len(tokens))}))
    return [*events, data("[DONE]")]


def openai_completion(body: Body, tokens: Sequence[str], call_id: int) -> dict[str, Any]:
    choice = {"index": 0, "text": "".join(tokens), "logprobs": None, "finish_reason": "stop"}
    return {
        "id": f"cmpl-sim{call_id}",
        "object": "text_completion",
        "created": CREATED_S,
        "model": body.get("model", ""),
        "choices": [choice],
        "usage": _openai_usage(body, len(tokens)),
    }


def openai_completion_events(body: Body, tokens: Sequence[str], call_id: int) -> list[bytes]:
    head = {
        "id": f"cmpl-sim{call_id}",
        "object": "text_completion",
        "created": CREATED_S,
        "model": body.get("model", ""),
    }

    def chunk(text: str, finish: str | None = None) -> bytes:
        return data({**head, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]})

    events = [*(chunk(token) for token in tokens), chunk("", "stop")]
    if (body.get("stream_options") or {}).get("include_usage"):
        events.append(data({**head, "choices": [], "usage": _openai_usage(body, len(tokens))}))
    return [*events, data("[DONE]")]


def vector(seed: str, dimensions: int) -> list[float]:
    """Returns a vector that depends on its text only. It is exact in float32, so base64 and numbers agree."""
    digest = hashlib.sha256(seed.encode()).digest()
    return [(digest[index % len(digest)] - 128) / 128 for index in range(dimensions)]


def openai_embeddings(body: Body, dimensions: int) -> dict[str, Any]:
    inputs = body.get("input", "")
    texts = [inputs] if isinstance(inputs, str) or (inputs and isinstance(inputs[0], int)) else list(inputs)
    rows: list[dict[str, Any]] = []
    for index, text in enumerate(texts):
        numbers = vector(json.dumps(text), dimensions)
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *numbers)).decode("ascii")
        embedding = packed if body.get("encoding_format") == "base64" else numbers
        rows.append({"object": "embedding", "index": index, "embedding": embedding})
    count = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": rows, "model": body.get("model", ""), "usage": usage}


def _anthropic_usage(body: Body, tokens: int) -> dict[str, Any]:
    input_tokens = len(json.dumps(body.get("messages") or "")) // 4
    return {
        "input_tokens": input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": tokens,
    }


def anthropic_message(body: Body, tokens: Sequence[str], call_id: int) -> dict[str, Any]:
    return {
        "id": f"msg_sim{call_id}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", ""),
        "content": [{"type": "text", "text": "".join(tokens)}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _anthropic_usage(body, len(tokens)),
    }


def anthropic_events(body: Body, tokens: Sequence[str], call_id: int) -> list[bytes]:
    start = {**anthropic_message(body, [], call_id), "content": [], "stop_reason": None}
    start["usage"] = _anthropic_usage(body, 1)
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    events = [
        event("message_start", {"type": "message_start", "message": start}),
        event("content_block_start", block),
        event("ping", {"type": "ping"}),
    ]
    for token in tokens:
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": token}}
        events.append(event("content_block_delta", delta))
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    usage = {"output_tokens": len(tokens)}
    return [
        *events,
        event("content_block_stop", {"type": "content_block_stop", "index": 0}),
        event("message_delta", {"type": "message_delta", "delta": ending, "usage": usage}),
        event("message_stop", {"type": "message_stop"}),
    ]


def is_anthropic(call: Call) -> bool:
    return call.path.endswith("/messages")


def error_reply(
    call: Call, status: int, message: str, code: str | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> Reply:
    """Returns an error body in the format of the called path."""
    words = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    words |= {413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}
    kind = words.get(status, "api_error")
    if is_anthropic(call):
        error = {"type": kind, "message": message}
        return json_reply({"type": "error", "error": error, "request_id": f"req_sim{call.id}"}, status, headers)
    if is_cohere(call):
        return json_reply(cohere_error(call, message), status, headers)
    if status in (401, 404):
        kind = "invalid_request_error"
    return json_reply({"error": {"message": message, "type": kind, "param": None, "code": code}}, status, headers)


def default_reply(call: Call, body: Body, count: int | None = None, dimensions: int | None = None) -> Reply:
    """Returns the answer of a healthy provider. `count` and `dimensions` override the length of the answer."""
    if call.method == "GET" and call.path.endswith("/models"):
        return json_reply(
            {"object": "list", "data": [{"id": "sim", "object": "model", "created": CREATED_S, "owned_by": "sim"}]}
        )
    tokens = answer_tokens(body, count)
    streamed = bool(body.get("stream"))
    if call.path.endswith("/chat/completions"):
        made = openai_chat_events if streamed else openai_chat
    elif call.path.endswith("/completions"):
        made = openai_completion_events if streamed else openai_completion
    elif call.path.endswith("/embeddings"):
        return json_reply(openai_embeddings(body, dimensions or body.get("dimensions") or DIMENSIONS))
    elif is_anthropic(call):
        made = anthropic_events if streamed else anthropic_message
    elif is_responses(call):
        made = responses_events if streamed else responses_answer
    elif is_cohere(call):
        made = cohere_events if streamed else cohere_chat
    else:
        return error_reply(call, 404, f"Invalid URL ({call.method} {call.path})")
    answer = made(body, tokens, call.id)
    return sse_reply(answer) if isinstance(answer, list) else json_reply(answer)

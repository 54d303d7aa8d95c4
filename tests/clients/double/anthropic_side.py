"""Anthropic's messages, whole and streamed, in the shape in which Claude sends them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tests.clients.double.anthropic_rules import broken_rule
from tests.clients.double.model import Prompt, Turn, pieces, text_of, turn
from tests.provider import Call, Reply, error_reply, event, json_reply, sse_reply

_USAGE = {
    "input_tokens": 20,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 10,
    "service_tier": "standard",
}


def signature(thought: str) -> str:
    """Claude's own, which nobody else can make."""
    return base64.b64encode(hashlib.sha256(b"key" + thought.encode()).digest()).decode()


def reply(call: Call) -> Reply:
    body = call.json
    if (problem := broken_rule(body, signature)) is not None:
        return error_reply(call, 400, problem)
    answer = turn(prompt(body))
    blocks = _blocks(answer, call)
    head = {
        "id": f"msg_{call.id}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": "tool_use" if answer.calls else "end_turn",
        "stop_sequence": None,
        "usage": _USAGE,
    }
    return sse_reply(_events(head, blocks)) if body.get("stream") else json_reply(head)


def prompt(body: Mapping[str, Any]) -> Prompt:
    choice = body.get("tool_choice") or {"type": "auto"}
    tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools") or ()}
    users = [message["content"] for message in body["messages"] if message["role"] == "user"]
    last = users[-1]
    results = [block for block in last if block["type"] == "tool_result"] if isinstance(last, list) else []
    form = (body.get("output_config") or {}).get("format") or {}
    spoken = [content for content in users if isinstance(content, str) or any(b["type"] == "text" for b in content)]
    return Prompt(
        text=text_of(spoken[-1]) if spoken else "",
        tools={} if choice["type"] == "none" else tools,
        forced={"any": "", "tool": choice.get("name")}.get(choice["type"]),
        results=tuple(text_of(block.get("content")) for block in results),
        schema=form.get("schema"),
        thinks=(body.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
    )


def _blocks(answer: Turn, call: Call) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if answer.thought:
        blocks.append({"type": "thinking", "thinking": answer.thought, "signature": signature(answer.thought)})
    if answer.text:
        blocks.append({"type": "text", "text": answer.text})
    for number, (name, arguments) in enumerate(answer.calls):
        blocks.append({"type": "tool_use", "id": f"toolu_{call.id}_{number}", "name": name, "input": arguments})
    return blocks


def _events(head: Mapping[str, Any], blocks: list[dict[str, Any]]) -> list[bytes]:
    start = {**head, "content": [], "stop_reason": None, "usage": {**_USAGE, "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(blocks):
        empty, deltas = _in_pieces(block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        if index == 0:
            events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": head["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": 10}})
    events.append({"type": "message_stop"})
    return [event(each["type"], each) for each in events]


def _in_pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as it begins, and its deltas."""
    match block["type"]:
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        case _:
            arguments = ["", *pieces(json.dumps(block["input"]))]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in arguments]

"""A simulated Claude that thinks before it calls a tool, with whole and streamed answers as in Anthropic's
documentation."""

from __future__ import annotations

import json
from typing import Any

from tests.provider.record import Call
from tests.provider.reply import Reply, event, json_reply, sse_reply

THOUGHT = {"type": "thinking", "thinking": "I should look.", "signature": "c2lnLTE="}
REDACTED = {"type": "redacted_thinking", "data": "ZW5jLTI="}
TEXT = {"type": "text", "text": "Let me see."}
CALLS: list[dict[str, Any]] = [
    {"type": "tool_use", "id": f"toolu_{n}", "name": "find", "input": {"q": n}} for n in (1, 2)
]
TURN: list[dict[str, Any]] = [THOUGHT, REDACTED, TEXT, *CALLS]
_HEAD = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sim", "stop_sequence": None}
_USAGE = {"input_tokens": 30, "output_tokens": 20}


def thinks_first(call: Call) -> Reply:
    """Returns a thinking block and tool calls until the request contains their results."""
    body = call.json
    finished = any(message["role"] == "assistant" for message in body["messages"])
    answer: list[dict[str, Any]] = [{"type": "text", "text": "42"}]
    blocks, reason = (answer, "end_turn") if finished else (TURN, "tool_use")
    if not body.get("stream"):
        return json_reply({**_HEAD, "content": blocks, "stop_reason": reason, "usage": _USAGE})
    return sse_reply([event(each["type"], each) for each in events_of(blocks, reason)])


def events_of(blocks: list[dict[str, Any]], reason: str) -> list[dict[str, Any]]:
    """Returns the events of a stream of these blocks, in order."""
    head: dict[str, Any] = {**_HEAD, "content": [], "stop_reason": None, "usage": _USAGE}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": head}]
    for index, block in enumerate(blocks):
        start, deltas = _cut(block)
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": reason, "stop_sequence": None}
    return [
        *events,
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 20}},
        {"type": "message_stop"},
    ]


def _cut(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the start of a block and its deltas."""
    match block["type"]:
        case "thinking":
            text = block["thinking"]
            deltas = [{"type": "thinking_delta", "thinking": part} for part in (text[:3], text[3:])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
        case "text":
            return {**block, "text": ""}, [{"type": "text_delta", "text": block["text"]}]
        case "tool_use":
            arguments = json.dumps(block["input"])
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": arguments}]
        case _:
            return block, []

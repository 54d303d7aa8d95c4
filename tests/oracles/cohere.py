"""Reads recorded Cohere exchanges by the provider's documentation alone: nothing of the code under test."""

import json
from typing import Any

from tests.oracles.cohere_request import request

__all__ = ["answer", "failed", "request"]

WORDS = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls", "": ""}
COUNTS = ("input_tokens", "output_tokens")


def answer(recording: dict[str, Any]) -> dict[str, Any]:
    """Of each choice text, tool calls as (name, arguments text) and finish reason; usage; of embeddings the vectors."""
    response, endpoint = recording["response"], recording["endpoint"]
    body = response.get("body") or (_v2_stream if endpoint == "chat-v2" else _v1_stream)(response["sse"])
    meta = body.get("usage") or body.get("meta") or {}
    counted = meta.get("tokens") or meta.get("billed_units") or {}
    usage = {name: int(counted[name]) for name in COUNTS if name in counted}
    if counted.get("image_tokens"):
        usage["input_tokens"] = usage.get("input_tokens", 0) + int(counted["image_tokens"])
    if "cached_tokens" in meta:
        usage["cached_input_tokens"] = meta["cached_tokens"]
    if "embeddings" in body:
        return {"vectors": next(iter(body["embeddings"].values())), "usage": usage}
    made = [_choice(one) for one in body.get("generations") or [body]]
    return {"choices": made, "usage": usage}


def _choice(one: dict[str, Any]) -> dict[str, Any]:
    message = one.get("message") or {"content": [{"text": one["text"]}]}
    text = "".join(part.get("text", "") for part in message.get("content") or [])
    calls = [call["function"] for call in message.get("tool_calls") or []]
    pairs = [(call["name"], "{}" if call["arguments"] in ("", "null") else call["arguments"]) for call in calls]
    return {"text": text, "tool_calls": pairs, "finish_reason": WORDS.get(one.get("finish_reason") or "", "other")}


def failed(recording: dict[str, Any]) -> bool:
    """Whether an answer of HTTP 200 ends with an error."""
    return '"finish_reason":"ERROR"' in json.dumps(recording["response"], separators=(",", ":")).replace("\\", "")


def _v2_stream(sse: str) -> dict[str, Any]:
    events = [json.loads(line[5:]) for line in sse.split("\n") if line.startswith("data:") and "[DONE]" not in line]
    blocks: dict[int, str] = {}
    calls: dict[int, dict[str, Any]] = {}
    out: dict[str, Any] = {}
    for event in events:
        message = event.get("delta", {}).get("message", {})
        if event["type"] in ("content-start", "content-delta"):
            blocks[event["index"]] = blocks.get(event["index"], "") + message["content"].get("text", "")
        elif event["type"] == "tool-call-start":
            calls[event["index"]] = message["tool_calls"]
        elif event["type"] == "tool-call-delta":
            calls[event["index"]]["function"]["arguments"] += message["tool_calls"]["function"]["arguments"]
        elif event["type"] == "message-end":
            out = event["delta"]
    parts = [{"type": "text", "text": text} for _, text in sorted(blocks.items())]
    return out | {"message": {"content": parts, "tool_calls": list(calls.values())}}


def _v1_stream(lines: str) -> dict[str, Any]:
    """The text as it came in pieces; the rest from the end, which says all of it once more."""
    events = [json.loads(line) for line in lines.split("\n") if line.strip()]
    text = "".join(event["text"] for event in events if event["event_type"] == "text-generation")
    whole: dict[str, Any] = events[-1]["response"]
    if "generations" in whole:
        return whole | {"generations": [whole["generations"][0] | {"text": text}]}
    return whole | {"text": text, "finish_reason": events[-1]["finish_reason"]}

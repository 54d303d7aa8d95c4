"""Reads recorded Anthropic exchanges by the provider's documentation alone: nothing of the code under test."""

import json
from typing import Any

from tests.oracles.anthropic_request import request

__all__ = ["answer", "request"]

WORDS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
WORDS |= {"model_context_window_exceeded": "length", "refusal": "content_filter"}
INPUTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def answer(recording: dict[str, Any]) -> dict[str, Any]:
    """Text, tool calls as (name, arguments text), finish reason and usage of the one choice."""
    message = recording["response"].get("body") or _streamed(recording["response"])
    calls = [(b["name"], b.get("text_of_input") or json.dumps(b["input"])) for b in _all(message, "tool_use")]
    text, word = "".join(b["text"] for b in _all(message, "text")), WORDS.get(message["stop_reason"], "other")
    fresh, read, written = (message["usage"].get(name) or 0 for name in INPUTS)
    usage = {"input_tokens": fresh + read + written, "output_tokens": message["usage"]["output_tokens"]}
    usage |= {"cached_input_tokens": read, "cache_write_tokens": written}
    return {"choices": [{"text": text, "tool_calls": calls, "finish_reason": word}], "usage": usage}


def _all(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for block in message["content"] if block["type"] == kind]


def _streamed(response: dict[str, Any]) -> dict[str, Any]:
    lines = response.get("chunks") or [x[5:] for x in response["sse"].split("\n") if x.startswith("data:")]
    events, message = [json.loads(line) for line in lines], {}
    for event in events:
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            message["content"].append(event["content_block"] | {"text_of_input": ""})
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            block["text"] = block.get("text", "") + delta.get("text", "")
            block["text_of_input"] += delta.get("partial_json", "")
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] |= {k: v for k, v in event["usage"].items() if v is not None}
    return message

"""Reads exchanges with OpenAI's Responses API by its documentation alone: nothing of the code under test."""

import json
from typing import Any

REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def answer(recording: dict[str, Any]) -> dict[str, Any]:
    """Text, tool calls as (name, arguments or input), finish reason and usage of the one choice."""
    response = recording["response"].get("body") or _last(recording["response"]["sse"])
    calls = [(item["name"], item.get("arguments", item.get("input"))) for item in _items(response, "call")]
    parts = [part for item in _items(response, "message") for part in item["content"]]
    text = "".join(part["text"] for part in parts if part["type"] == "output_text")
    word = "tool_calls" if calls else "stop"
    if response["incomplete_details"]:
        word = REASONS[response["incomplete_details"]["reason"]]
    counts = response["usage"]
    usage = {name: counts[name] for name in ("input_tokens", "output_tokens", "total_tokens")}
    usage["cached_input_tokens"] = counts["input_tokens_details"]["cached_tokens"]
    usage["reasoning_tokens"] = counts["output_tokens_details"]["reasoning_tokens"]
    return {"choices": [{"text": text, "tool_calls": calls, "finish_reason": word}], "usage": usage}


def plain_request(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what it says the short way, what every call of ours says, and what only answers have."""
    items = body["input"]
    items = [{"role": "user", "content": items}] if isinstance(items, str) else items
    made = {name: value for name, value in body.items() if name not in ("include", "store")}
    return {**made, "input": [_plain_item(item) for item in items]}


def _plain_item(item: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in item.items() if name not in ("id", "status")}
    if kept.get("type", "message") != "message":
        return kept
    content = kept["content"]
    if len(content) == 1 and isinstance(content[0], dict):
        content = content[0]["text"]
    return {**kept, "type": "message", "content": content}


def failed(recording: dict[str, Any]) -> bool:
    """Whether a stream of HTTP 200 ends with a failure."""
    sse = recording["response"].get("sse", "")
    return bool(sse) and _events(sse)[-1]["type"] in ("response.failed", "error")


def _items(response: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item for item in response["output"] if item["type"].endswith(kind)]


def _events(sse: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in sse.split("\n") if line.startswith("data: ")]


def _last(sse: str) -> dict[str, Any]:
    """The whole response, which the last event has; its texts are what the deltas add up to."""
    events = _events(sse)
    response: dict[str, Any] = events[-1]["response"]
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    parts = [part for item in _items(response, "message") for part in item["content"]]
    assert text == "".join(part.get("text", "") for part in parts)
    return response

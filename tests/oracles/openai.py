"""Reads recorded OpenAI exchanges by the provider's documentation alone: nothing of the code under test."""

import base64
import json
import struct
from typing import Any

from tests.oracles.openai_request import request

__all__ = ["answer", "request"]

KNOWN = ("stop", "length", "tool_calls", "content_filter", "function_call")
COUNTS = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens", "total_tokens": "total_tokens"}


def answer(recording: dict[str, Any]) -> dict[str, Any]:
    """Of each choice text, tool calls as (name, arguments text) and finish reason; usage; of embeddings the vectors."""
    body = recording["response"].get("body")
    if recording["endpoint"] == "embeddings":
        rows = [(row["index"], _vector(row["embedding"])) for row in body["data"]]
        return {"vectors": [vector for _, vector in sorted(rows)], "usage": _usage(body)}
    choices, usage = _whole(body) if body is not None else _streamed(recording["response"]["sse"])
    return {"choices": [choices[index] for index in sorted(choices)], "usage": usage}


def _usage(body: dict[str, Any]) -> dict[str, int]:
    usage = body.get("usage") or {}
    return {ours: usage[theirs] for ours, theirs in COUNTS.items() if usage.get(theirs) is not None}


def _vector(value: Any) -> list[float]:
    if isinstance(value, list):
        return value
    data = base64.b64decode(value)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def _word(word: str | None) -> str:
    return "" if word is None else word if word in KNOWN else "other"


def _whole(body: dict[str, Any]) -> tuple[dict[int, Any], dict[str, int]]:
    choices = {}
    for choice in body["choices"]:
        message = choice.get("message", {"content": choice.get("text")})
        calls = [call.get("function") or call.get("custom") for call in message.get("tool_calls") or []]
        pairs = [(call["name"], call.get("arguments", call.get("input"))) for call in calls]
        word = _word(choice.get("finish_reason"))
        choices[choice["index"]] = {"text": message["content"] or "", "tool_calls": pairs, "finish_reason": word}
    return choices, _usage(body)


def _streamed(sse: str) -> tuple[dict[int, Any], dict[str, int]]:
    choices: dict[int, Any] = {}
    usage: dict[str, int] = {}
    for line in sse.replace("\r\n", "\n").split("\n"):
        if not line.startswith("data:") or line[5:].strip() == "[DONE]":
            continue
        body = json.loads(line[5:])
        usage = _usage(body) or usage
        for choice in body["choices"]:
            into = choices.setdefault(choice["index"], {"text": "", "calls": {}, "finish_reason": ""})
            delta = choice.get("delta") or {"content": choice.get("text")}
            into["text"] += delta.get("content") or ""
            for call in delta.get("tool_calls") or []:
                kept = into["calls"].setdefault(call["index"], ["", ""])
                kept[0] = kept[0] or call["function"].get("name") or ""
                kept[1] += call["function"].get("arguments") or ""
            into["finish_reason"] = _word(choice.get("finish_reason")) or into["finish_reason"]
    for into in choices.values():
        into["tool_calls"] = [tuple(call) for call in into.pop("calls").values()]
    return choices, usage

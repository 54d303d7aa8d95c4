"""Reads recorded OpenAI exchanges by the provider's documentation alone: nothing of the code under test."""

import json
from typing import Any

from tests.oracles.openai_finish_and_usage import text, usage, vector, word
from tests.oracles.openai_request import request

__all__ = ["answer", "failed", "request"]


def answer(recording: dict[str, Any]) -> dict[str, Any]:
    """Of each choice text, tool calls as (name, arguments text) and finish reason; usage; of embeddings the vectors."""
    body = recording["response"].get("body")
    if recording["endpoint"] == "embeddings":
        rows = [(row["index"], vector(row["embedding"])) for row in body["data"]]
        return {"vectors": [row for _, row in sorted(rows)], "usage": usage(body)}
    choices, used = _whole(body) if body is not None else _streamed(recording["response"]["sse"])
    return {"choices": [choices[index] for index in sorted(choices)], "usage": used}


def failed(recording: dict[str, Any]) -> bool:
    """Whether an answer of HTTP 200 carries an error: at its top, in an event, or in a choice (OpenRouter)."""
    body = recording["response"].get("body")
    bodies = [body] if body is not None else _events(recording["response"]["sse"])
    return any(one.get("error") or any(c.get("error") for c in one.get("choices") or []) for one in bodies)


def _whole(body: dict[str, Any]) -> tuple[dict[int, Any], dict[str, int]]:
    choices = {}
    for choice in body["choices"]:
        message = choice.get("message") or {"content": choice.get("text")}
        calls = [call.get("function") or call.get("custom") for call in message.get("tool_calls") or []]
        pairs = [(call["name"], call.get("arguments", call.get("input")) or "{}") for call in calls]
        reason = word(choice.get("finish_reason"))
        choices[choice["index"]] = {"text": text(message.get("content")), "tool_calls": pairs, "finish_reason": reason}
    return choices, usage(body)


def _events(sse: str) -> list[dict[str, Any]]:
    lines = [line[5:].strip() for line in sse.replace("\r\n", "\n").split("\n") if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def _streamed(sse: str) -> tuple[dict[int, Any], dict[str, int]]:
    choices: dict[int, Any] = {}
    used: dict[str, int] = {}
    for body in _events(sse):
        used = usage(body) or used
        for choice in body["choices"] or []:
            into = choices.setdefault(choice["index"], {"text": "", "calls": {}, "finish_reason": ""})
            delta = choice.get("delta") or {"content": choice.get("text")}
            into["text"] += text(delta.get("content"))
            for call in delta.get("tool_calls") or []:
                kept = into["calls"].setdefault(call["index"], ["", ""])
                kept[0] = kept[0] or call["function"].get("name") or ""
                kept[1] += call["function"].get("arguments") or ""
            into["finish_reason"] = into["finish_reason"] or word(choice.get("finish_reason"))
    for into in choices.values():
        into["tool_calls"] = [(name, arguments or "{}") for name, arguments in into.pop("calls").values()]
    return choices, used

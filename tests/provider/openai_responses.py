"""Answers of OpenAI's Responses API, whole and streamed, with the given items; by default one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.provider.record import Call
from tests.provider.reply import event

USAGE: dict[str, Any] = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 7},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 42,
}
REASONING: dict[str, Any] = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Look first."}],
    "encrypted_content": "gAAAAsealed",
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Let me see.", "annotations": []}],
}
CALL: dict[str, Any] = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "call_id": "call_1",
    "name": "find",
    "arguments": '{"q":1}',
}
HEAD: dict[str, Any] = {"id": "resp_1", "object": "response", "created_at": 1_790_000_000, "model": "sim-chat"}


def answer(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**HEAD, "status": "completed", "error": None, "output": [*items], "usage": USAGE, **more}


def events(*items: dict[str, Any]) -> list[bytes]:
    """Returns the events of a stream of these items."""
    head = {**HEAD, "status": "in_progress", "output": []}
    made: list[dict[str, Any]] = [{"type": "response.created", "response": head}]
    for index, item in enumerate(items):
        at = {"item_id": item["id"], "output_index": index}
        shell = {**item, **_EMPTY[item["type"]]}
        made.append({"type": "response.output_item.added", "output_index": index, "item": shell})
        made += _PIECES[item["type"]](item, at)
        made.append({"type": "response.output_item.done", "output_index": index, "item": item})
    made.append({"type": "response.completed", "response": answer(*items)})
    return [event(each["type"], {**each, "sequence_number": number}) for number, each in enumerate(made)]


def _of_reasoning(item: dict[str, Any], at: dict[str, Any]) -> list[dict[str, Any]]:
    (part,) = item["summary"]
    at = {**at, "summary_index": 0}
    kind = "response.reasoning_summary"
    return [
        {"type": f"{kind}_part.added", **at, "part": {**part, "text": ""}},
        {"type": f"{kind}_text.delta", **at, "delta": part["text"]},
        {"type": f"{kind}_text.done", **at, "text": part["text"]},
        {"type": f"{kind}_part.done", **at, "part": part},
    ]


def _of_message(item: dict[str, Any], at: dict[str, Any]) -> list[dict[str, Any]]:
    (part,) = item["content"]
    at, text = {**at, "content_index": 0}, part["text"]
    return [
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({"type": "response.output_text.delta", **at, "delta": some, "logprobs": []} for some in (text[:4], text[4:])),
        {"type": "response.output_text.done", **at, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _of_call(item: dict[str, Any], at: dict[str, Any]) -> list[dict[str, Any]]:
    text, kind = item["arguments"], "response.function_call_arguments"
    deltas = ({"type": f"{kind}.delta", **at, "delta": some} for some in (text[:3], text[3:]))
    return [*deltas, {"type": f"{kind}.done", **at, "arguments": text}]


_PIECES = {"reasoning": _of_reasoning, "message": _of_message, "function_call": _of_call}
_EMPTY: dict[str, dict[str, Any]] = {
    "reasoning": {"summary": [], "encrypted_content": None},
    "message": {"content": [], "status": "in_progress"},
    "function_call": {"arguments": "", "status": "in_progress"},
}


def is_responses(call: Call) -> bool:
    return call.path.endswith("/responses")


def responses_answer(body: Mapping[str, Any], tokens: Sequence[str], call_id: int) -> dict[str, Any]:
    """Returns an answer with one message of these tokens."""
    return answer(_message(tokens, call_id))


def responses_events(body: Mapping[str, Any], tokens: Sequence[str], call_id: int) -> list[bytes]:
    return events(_message(tokens, call_id))


def _message(tokens: Sequence[str], call_id: int) -> dict[str, Any]:
    text = {"type": "output_text", "text": "".join(tokens), "annotations": []}
    return {**MESSAGE, "id": f"msg_sim{call_id}", "content": [text]}

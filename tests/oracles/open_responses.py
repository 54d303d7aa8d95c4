"""What the Open Responses specification (openresponses.org, version 2026-04-24) requires of answers and events, by its document
alone: `complaints` gives the places where a value is not as it says, with what should be there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Value = Any
_TEXT, _WHOLE, _NUMBER, _FLAG, _LIST, _OBJECT = "text", "whole", "number", "flag", "list", "object"
_TYPES: Mapping[str, tuple[type, ...]] = {
    _TEXT: (str,),
    _WHOLE: (int,),
    _NUMBER: (int, float),
    _FLAG: (bool,),
    _LIST: (list,),
    _OBJECT: (dict,),
}
# Required members; "?" behind a type: or null.
_RESPONSE = {
    **dict.fromkeys(("id", "object", "status", "model", "truncation", "service_tier"), _TEXT),
    **dict.fromkeys(("previous_response_id", "instructions", "safety_identifier", "prompt_cache_key"), "text?"),
    **dict.fromkeys(("top_p", "presence_penalty", "frequency_penalty", "temperature"), _NUMBER),
    **dict.fromkeys(("max_output_tokens", "max_tool_calls", "completed_at"), "whole?"),
    **dict.fromkeys(("parallel_tool_calls", "store", "background"), _FLAG),
    **dict.fromkeys(("output", "tools"), _LIST),
    **dict.fromkeys(("incomplete_details", "error", "reasoning", "usage"), "object?"),
    "created_at": _WHOLE,
    "top_logprobs": _WHOLE,
    "text": _OBJECT,
    "tool_choice": "",
    "metadata": "",
}
_INSIDE = {
    "incomplete_details": {"reason": _TEXT},
    "error": {"code": _TEXT, "message": _TEXT},
    "text": {"format": _OBJECT},
    "reasoning": {"effort": "text?", "summary": "text?"},
    "usage": {
        **dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), _WHOLE),
        "input_tokens_details": _OBJECT,
        "output_tokens_details": _OBJECT,
    },
}
_TOOL = {"type": _TEXT, "name": _TEXT, "description": "text?", "parameters": "object?", "strict": "flag?"}
_ITEMS = {
    "message": dict.fromkeys(("id", "status", "role"), _TEXT) | {"content": _LIST},
    "function_call": dict.fromkeys(("id", "call_id", "name", "arguments", "status"), _TEXT),
    "reasoning": {"id": _TEXT, "summary": _LIST},
}
_PARTS = {
    "output_text": {"text": _TEXT, "annotations": _LIST},
    "refusal": {"refusal": _TEXT},
    "summary_text": {"text": _TEXT},
}
_STATES = ("in_progress", "completed", "incomplete")
_AT_ITEM = {"item_id": _TEXT, "output_index": _WHOLE}
_AT_PART = {**_AT_ITEM, "content_index": _WHOLE}
_AT_SUMMARY = {**_AT_ITEM, "summary_index": _WHOLE}
_EVENTS: Mapping[str, Mapping[str, str]] = {
    **{
        f"response.{name}": {"response": _OBJECT}
        for name in ("created", "queued", "in_progress", "completed", "failed")
    },
    "response.incomplete": {"response": _OBJECT},
    **{f"response.output_item.{name}": {"output_index": _WHOLE, "item": _OBJECT} for name in ("added", "done")},
    **{f"response.content_part.{name}": {**_AT_PART, "part": _OBJECT} for name in ("added", "done")},
    **{f"response.reasoning_summary_part.{name}": {**_AT_SUMMARY, "part": _OBJECT} for name in ("added", "done")},
    "response.output_text.delta": {**_AT_PART, "delta": _TEXT},
    "response.output_text.done": {**_AT_PART, "text": _TEXT},
    "response.refusal.delta": {**_AT_PART, "delta": _TEXT},
    "response.refusal.done": {**_AT_PART, "refusal": _TEXT},
    "response.reasoning_summary_text.delta": {**_AT_SUMMARY, "delta": _TEXT},
    "response.reasoning_summary_text.done": {**_AT_SUMMARY, "text": _TEXT},
    "response.function_call_arguments.delta": {**_AT_ITEM, "delta": _TEXT},
    "response.function_call_arguments.done": {**_AT_ITEM, "arguments": _TEXT},
}


def of_event(event: Value) -> set[str]:
    """Complaints about one event of a stream."""
    wanted = _EVENTS.get(event.get("type"))
    if wanted is None:
        return {f"{event.get('type')}: unknown"}
    found = set(_members(event, {"sequence_number": _WHOLE, **wanted}, ""))
    if "response" in wanted:
        found |= of_response(event["response"])
    if "item" in wanted:
        found |= set(_item(event["item"]))
    if "part" in wanted:
        found |= set(_part(event["part"]))
    return found


def of_response(response: Value) -> set[str]:
    """Complaints about a whole answer."""
    found = set(_members(response, _RESPONSE, ""))
    for name, wanted in _INSIDE.items():
        if response.get(name) is not None:
            found |= set(_members(response[name], wanted, f"{name}."))
    for item in response.get("output", ()):
        found |= set(_item(item))
    for tool in response.get("tools", ()):
        found |= set(_members(tool, _TOOL, "tools[]."))
    return found


def _item(item: Value) -> Iterator[str]:
    kind = item.get("type")
    if kind not in _ITEMS:
        yield f"item {kind}: unknown"
        return
    yield from _members(item, _ITEMS[kind], f"{kind}.")
    if item.get("status") not in (*_STATES, None):
        yield f"{kind}.status: one of {_STATES}"
    for part in (*item.get("content", ()), *item.get("summary", ())):
        yield from _part(part)


def _part(part: Value) -> Iterator[str]:
    if part.get("type") not in _PARTS:
        yield f"part {part.get('type')}: unknown"
        return
    yield from _members(part, _PARTS[part["type"]], f"{part['type']}.")


def _members(value: Value, wanted: Mapping[str, str], path: str) -> Iterator[str]:
    for name, kind in wanted.items():
        if name not in value:
            yield f"{path}{name}: missing"
        elif kind and not (value[name] is None and kind.endswith("?")):
            types = _TYPES[kind.removesuffix("?")]
            if not isinstance(value[name], types) or (isinstance(value[name], bool) and bool not in types):
                yield f"{path}{name}: {kind}"

"""Translated answers by the yardstick of the Open Responses specification; docs/reference/responses.md lists what differs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Task
from tests.oracles import open_responses
from tests.provider import Call, Provider, Reply, json_reply, sse_reply
from tests.provider.claude import thinks_first
from tests.responses.test_cuts import STREAMS
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import post

_TOOL = {"type": "function", "name": "find", "description": None, "parameters": {"type": "object"}, "strict": None}
_SAMPLING = {"temperature": 0.5, "top_p": 0.9}
# What is repeated as the caller wrote it, or not at all.
_AS_WRITTEN = {
    "temperature: number": "no provider says what it took",
    "top_p: number": "as above",
    "tools[].description: missing": "tools are repeated as they came",
    "tools[].strict: missing": "as above",
}


async def answers(name: str, body: dict[str, Any], script: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Whole, and the events."""
    with Provider() as provider:
        provider.script = script
        kind = "anthropic" if name == "claude" else "openai-compatible"
        base = provider.root_url if name == "claude" else provider.base_url
        async with WorkerProcess(snapshot([route(name, Task.CHAT, base, provider=kind)])) as worker:
            whole = await post(worker, "CreateResponse", {"model": name, "input": "hi", **body})
            streamed = await post(worker, "CreateResponse", {"model": name, "input": "hi", "stream": True, **body})
    lines = streamed.body.decode().splitlines()
    return whole.json, [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def _thinks_and_calls(call: Call) -> Reply:
    if call.json.get("stream"):
        return sse_reply(STREAMS["chat"][0])
    function = {"name": "find", "arguments": "{}"}
    message = {
        "role": "assistant",
        "content": "Let me see.",
        "reasoning_content": "Look first.",
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return json_reply({"id": "c", "created": 1, "model": "m", "choices": [choice], "usage": usage})


@pytest.mark.parametrize(("name", "script"), [("chat", _thinks_and_calls), ("claude", thinks_first)])
@pytest.mark.parametrize(
    "more",
    [{}, {"reasoning": {"effort": "low"}}, {"text": {"verbosity": "medium"}}, {"reasoning": None, "text": None}],
    ids=str,
)
async def test_answers_and_events_are_as_the_specification_has_them(
    name: str, script: Any, more: dict[str, Any]
) -> None:
    whole, events = await answers(name, {"tools": [_TOOL], **_SAMPLING, **more}, script)
    assert open_responses.of_response(whole) == set()
    assert {item["type"] for item in whole["output"]} == {"reasoning", "message", "function_call"}
    assert {complaint for each in events for complaint in open_responses.of_event(each)} == set()
    assert len({each["type"] for each in events}) >= 13


async def test_what_differs_is_what_the_page_lists() -> None:
    bare = {name: value for name, value in _TOOL.items() if name not in ("description", "strict")}
    whole, events = await answers("chat", {"tools": [bare]}, _thinks_and_calls)
    assert open_responses.of_response(whole) == _AS_WRITTEN.keys()
    assert {complaint for each in events for complaint in open_responses.of_event(each)} == _AS_WRITTEN.keys()


def test_the_yardstick_finds_what_is_wrong() -> None:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "done",
        "content": [{"type": "output_text"}],
    }
    event = {"type": "response.output_item.done", "sequence_number": True, "output_index": 0, "item": message}
    assert open_responses.of_event(event) == {
        "sequence_number: whole",
        "message.status: one of ('in_progress', 'completed', 'incomplete')",
        "output_text.text: missing",
        "output_text.annotations: missing",
    }
    assert open_responses.of_event({"type": "response.reasoning_text.delta"}) == {
        "response.reasoning_text.delta: unknown"
    }

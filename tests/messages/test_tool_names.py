"""Names of tools that Anthropic allows and other providers do not: each side sees the name that it can take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.provider import Call, Provider, Reply, data, json_reply, sse_reply
from tests.stack.stack import Stack

_SERVER = "mcp__a-server-with-a-name-as-people-give-them__looks_something_up_in_"
_NAMES = [f"{_SERVER}{number}{'x' * 50}" for number in range(2)]
_OF_PROVIDER = 64


def calls_first_tool(call: Call) -> Reply:
    """By the name that it was sent."""
    name = call.json["tools"][0]["function"]["name"]
    calls = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": "{}"}}]
    head = {"id": "c", "created": 1, "model": "m"}
    if not call.json.get("stream"):
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        return json_reply({**head, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    choices: list[dict[str, Any]] = [
        {"index": 0, "delta": {"role": "assistant", "tool_calls": calls}, "finish_reason": None},
        {"index": 0, "delta": {}, "finish_reason": "tool_calls"},
    ]
    return sse_reply([*(data({**head, "choices": [choice]}) for choice in choices), b"data: [DONE]\n\n"])


@pytest.mark.parametrize("streamed", [False, True])
def test_a_name_that_is_too_long_for_the_provider_is_the_callers_own_in_its_answer(
    stack: Stack, simulator: Provider, streamed: bool
) -> None:
    simulator.script = calls_first_tool
    body = {
        "model": "chat",
        "max_tokens": 64,
        "stream": streamed,
        "tools": [{"name": name, "input_schema": {"type": "object"}} for name in _NAMES],
        "tool_choice": {"type": "tool", "name": _NAMES[1]},
        "messages": [
            {"role": "user", "content": "Oslo?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_0", "name": _NAMES[0], "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_0", "content": "no"}]},
        ],
    }
    with stack.http() as http:
        found = http.post("/v1/messages", json=body)
    assert found.status_code == 200, found.text
    assert _NAMES[0] in _called(found.text, streamed=streamed)
    sent = simulator.calls[-1].json
    names = [tool["function"]["name"] for tool in sent["tools"]]
    assert len(set(names)) == 2
    assert max(len(name) for name in names) <= _OF_PROVIDER
    assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == names[0]
    assert sent["tool_choice"]["function"]["name"] == names[1]


def _called(text: str, *, streamed: bool) -> list[str]:
    """The names in `tool_use` blocks."""
    if not streamed:
        return [block["name"] for block in json.loads(text)["content"]]
    lines = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    return [each["content_block"]["name"] for each in lines if each["type"] == "content_block_start"]

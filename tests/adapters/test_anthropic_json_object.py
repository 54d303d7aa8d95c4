"""An answer in JSON without a schema: what Claude is asked, and what comes of its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.anthropic import FORMAT
from adapters.contract import Context, Target, Task
from adapters.errors import GatewayError, Kind
from adapters.providers import PROVIDERS
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
CHAT = FORMAT.provider[Task.CHAT]
NAME = "gateway_json_object"
OWN = pb.Tool(function=pb.FunctionTool(name="find"))
ONE = {"disable_parallel_tool_use": True}
THINKING = '{"thinking":{"type":"enabled","budget_tokens":1024}}'


def target(**options: Any) -> Target:
    return Target(PROVIDERS["anthropic"], "claude-sonnet-4-5", "https://api.anthropic.com", options)


def body_of(drop: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    user = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="A city, as JSON.")])
    wanted = pb.ResponseFormat(json_object=pb.JsonObjectFormat())
    request = pb.ChatRequest(messages=[user], max_tokens=500, response_format=wanted, **fields)
    body: dict[str, Any] = json.loads(CHAT.encode(request, target(drop_params=drop), False, CONTEXT).body)
    return body


def choice(**fields: Any) -> pb.ToolChoice:
    return pb.ToolChoice(**fields)


def test_claude_is_made_to_call_a_tool_that_takes_any_object() -> None:
    body = body_of()
    assert body["tool_choice"] == {"type": "tool", "name": NAME, **ONE}
    [tool] = body["tools"]
    assert tool["name"] == NAME
    assert tool["input_schema"] == {"type": "object", "additionalProperties": True}
    assert "output_config" not in body


@pytest.mark.parametrize(
    ("chosen", "sent", "has_tool"),
    [
        (None, {"type": "any", **ONE}, True),
        (choice(mode=pb.ToolChoice.MODE_AUTO), {"type": "any", **ONE}, True),
        (choice(other_json='{"type":"auto","disable_parallel_tool_use":false}'), {"type": "any", **ONE}, True),
        (choice(mode=pb.ToolChoice.MODE_NONE), {"type": "tool", "name": NAME, **ONE}, True),
        (choice(mode=pb.ToolChoice.MODE_REQUIRED), {"type": "any"}, False),  # a call, which has no text
        (choice(function_name="find"), {"type": "tool", "name": "find"}, False),
    ],
    ids=str,
)
def test_with_tools_of_the_callers_own_it_calls_one_of_them_or_answers(
    chosen: pb.ToolChoice | None, sent: dict[str, Any], has_tool: bool
) -> None:
    body = body_of(tools=[OWN], tool_choice=chosen)
    assert body["tool_choice"] == sent
    assert [tool["name"] for tool in body["tools"]] == ["find", *[NAME] * has_tool]


@pytest.mark.parametrize("kind", ['{"type":"enabled","budget_tokens":1024}', '{"type":"adaptive"}'])
def test_while_it_thinks_it_cannot_be_made_to_call_and_the_call_is_refused(kind: str) -> None:
    with pytest.raises(GatewayError) as caught:
        body_of(extra_json=f'{{"thinking":{kind}}}')
    assert caught.value.kind is Kind.UNSUPPORTED_PARAMETER
    assert caught.value.param == "response_format.json_object"
    assert "with a schema" in caught.value.message


@pytest.mark.parametrize("dropped", ["response_format", "response_format.json_object"])
def test_a_route_that_drops_it_goes_without(dropped: str) -> None:
    body = body_of((dropped,), extra_json=THINKING)
    assert "tools" not in body
    assert "tool_choice" not in body
    assert body["thinking"]["type"] == "enabled"


def test_thinking_that_is_off_is_no_thinking() -> None:
    assert body_of(extra_json='{"thinking":{"type":"disabled"}}')["tool_choice"]["name"] == NAME
    assert body_of(reasoning_effort="none")["tool_choice"]["name"] == NAME


def test_a_tool_of_the_same_name_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        body_of(tools=[pb.Tool(function=pb.FunctionTool(name=NAME))])
    assert caught.value.kind is Kind.INVALID_REQUEST
    assert caught.value.param == "tools[0].function.name"


def block(name: str, value: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": "toolu_1", "name": name, "input": value}


def decoded(*blocks: dict[str, Any], stop: str = "tool_use") -> pb.Choice:
    answer = {"id": "m", "role": "assistant", "model": "c", "content": list(blocks), "stop_reason": stop}
    response = CHAT.decode(json.dumps(answer).encode(), CONTEXT)
    assert isinstance(response, pb.ChatResponse)
    return response.choices[0]


def test_the_input_of_the_call_is_the_text_of_the_answer() -> None:
    found = decoded(block(NAME, {"city": "Pärís", "n": [1.50, None]}))
    assert json.loads(found.message.content[0].text) == {"city": "Pärís", "n": [1.5, None]}
    assert not found.message.tool_calls
    assert found.finish_reason == pb.FINISH_REASON_STOP
    assert found.native_finish_reason == "tool_use"


def test_a_call_of_the_callers_tool_stays_one() -> None:
    found = decoded(block("find", {"q": 1}))
    assert [call.name for call in found.message.tool_calls] == ["find"]
    assert not found.message.content
    assert found.finish_reason == pb.FINISH_REASON_TOOL_CALLS


def test_an_answer_that_was_cut_says_so() -> None:
    assert decoded(block(NAME, {}), stop="max_tokens").finish_reason == pb.FINISH_REASON_LENGTH


def streamed(name: str, *pieces: str) -> list[pb.StreamChatResponse]:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "m", "model": "c", "role": "assistant", "content": []}},
        {"type": "content_block_start", "index": 0, "content_block": block(name, {})},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
            for piece in pieces
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    assert CHAT.stream is not None
    decoder = CHAT.stream(target(), CONTEXT)
    whole = [Event(event["type"], json.dumps(event).encode(), b"") for event in events]
    return [chunk for event in whole for chunk in decoder.feed(event)]


@pytest.mark.parametrize(
    ("pieces", "text"), [(("", '{"ci', 'ty":"Paris"', "}"), '{"city":"Paris"}'), ((), "{}")], ids=("pieces", "empty")
)
def test_a_stream_gives_the_object_in_pieces(pieces: tuple[str, ...], text: str) -> None:
    choices = [choice for chunk in streamed(NAME, *pieces) for choice in chunk.choices]
    assert "".join(each.delta.content for each in choices) == text
    assert not any(each.delta.tool_calls for each in choices)
    assert choices[-1].finish_reason == pb.FINISH_REASON_STOP


def test_a_streamed_call_of_the_callers_tool_stays_one() -> None:
    choices = [choice for chunk in streamed("find", '{"q":', "1}") for choice in chunk.choices]
    assert "".join(call.arguments_json for each in choices for call in each.delta.tool_calls) == '{"q":1}'
    assert choices[-1].finish_reason == pb.FINISH_REASON_TOOL_CALLS

"""A provider of another format behind the same two doors: Anthropic's messages as OpenAI's JSON and as typed gRPC."""

from __future__ import annotations

import json
from typing import Any

import grpc
import grpc.aio
import pytest

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.processes import REPOSITORY
from tests.provider import Call, Provider, Reply, error_reply, event, json_reply, sse_reply
from tests.stack.stack import FRONT, LOCAL, Stack

pytestmark = pytest.mark.slow
PATH = "/v1/chat/completions"
WEATHER = {
    "name": "get_weather",
    "description": "The weather now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
BODY: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 64,
    "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Oslo?"}],
}
TOOLS = {"tools": [{"type": "function", "function": WEATHER}], "tool_choice": "auto"}
TEXT, CITY = "Let me see.", '{"city":"Oslo"}'
USAGE = {"input_tokens": 30, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 12}


def message(call: Call) -> Reply:
    """Text and a tool call, whole or streamed as Anthropic documents it."""
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sim", "stop_sequence": None}
    if not call.json.get("stream"):
        blocks = [
            {"type": "text", "text": TEXT},
            {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": json.loads(CITY)},
        ]
        return json_reply({**head, "content": blocks, "stop_reason": "tool_use", "usage": USAGE})
    start: dict[str, Any] = {**head, "content": [], "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    tool = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    text: Any = {"type": "text", "text": ""}
    events = [("message_start", {"message": start}), ("content_block_start", {"index": 0, "content_block": text})]
    events += [("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": TEXT}})]
    events += [("content_block_stop", {"index": 0}), ("content_block_start", {"index": 1, "content_block": tool})]
    for part in (CITY[:5], CITY[5:]):
        events += [("content_block_delta", {"index": 1, "delta": {"type": "input_json_delta", "partial_json": part}})]
    ending = {"delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 12}}
    events += [("content_block_stop", {"index": 1}), ("message_delta", ending), ("message_stop", {})]
    return sse_reply([event(name, {"type": name, **members}) for name, members in events])


def sent(simulator: Provider) -> Any:
    """What the provider was asked, its headers checked."""
    call = simulator.calls[-1]
    assert call.path == "/v1/messages"
    assert call.key == "anthropic-key"
    assert call.headers["anthropic-version"]
    assert "authorization" not in call.headers
    return call.json


def check_usage(usage: dict[str, Any]) -> None:
    """Anthropic counts cached tokens beside its input tokens, OpenAI among them."""
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (40, 12, 52)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 7


def test_a_whole_answer_with_a_tool_call_reads_as_openais(stack: Stack, simulator: Provider) -> None:
    simulator.script = message
    with stack.http() as http:
        answer = http.post(PATH, json={**BODY, **TOOLS}).json()
    provider_body = sent(simulator)
    assert provider_body["system"] in ("Be short.", [{"type": "text", "text": "Be short."}])
    assert (provider_body["model"], provider_body["max_tokens"]) == ("sim-chat", 64)
    assert provider_body["tools"][0]["input_schema"] == WEATHER["parameters"]
    (choice,) = answer["choices"]
    assert answer["object"] == "chat.completion"
    assert choice["message"]["content"] == TEXT
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    assert (call["id"], call["type"], call["function"]["name"]) == ("toolu_1", "function", "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
    check_usage(answer["usage"])


def test_a_streamed_answer_with_a_tool_call_reads_as_openais(stack: Stack, simulator: Provider) -> None:
    simulator.script = message
    with stack.http() as http:
        body = {**BODY, **TOOLS, "stream": True, "stream_options": {"include_usage": True}}
        lines = [line for line in http.post(PATH, json=body).text.splitlines() if line]
    assert sent(simulator)["stream"] is True
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert {(chunk["object"], chunk["id"]) for chunk in chunks} == {("chat.completion.chunk", chunks[0]["id"])}
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content") or "" for delta in deltas) == TEXT
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    assert {call["index"] for call in calls} == {0}
    assert (calls[0]["id"], calls[0]["function"]["name"]) == ("toolu_1", "get_weather")
    assert "".join(call["function"].get("arguments", "") for call in calls) == CITY
    finishes = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert finishes == ["tool_calls"]
    assert chunks[-1]["choices"] == []
    check_usage(chunks[-1]["usage"])


@pytest.mark.parametrize("entrance", [LOCAL, FRONT])
async def test_typed_calls_whole_and_streamed(stack: Stack, simulator: Provider, entrance: str) -> None:
    simulator.script = message
    tool = pb.Tool(function=pb.FunctionTool(name="get_weather", parameters_json=json.dumps(WEATHER["parameters"])))
    user = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Oslo?")])
    request = pb.ChatRequest(route="claude", messages=[user], tools=[tool], max_tokens=64)
    async with stack.channel(entrance) as channel:
        service: Any = inference_pb2_grpc.InferenceServiceStub(channel)
        settings: Any = {"metadata": stack.metadata(entrance), "timeout": 30}
        answer = await service.Chat(request, **settings)
        chunks = [chunk async for chunk in service.StreamChat(request, **settings)]
    (choice,) = answer.choices
    assert [part.text for part in choice.message.content] == [TEXT]
    assert (choice.finish_reason, choice.native_finish_reason) == (pb.FINISH_REASON_TOOL_CALLS, "tool_use")
    assert [call.name for call in choice.message.tool_calls] == ["get_weather"]
    usage = answer.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (40, 7, 3)
    assert chunks[-1].usage == usage
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content for delta in deltas) == TEXT
    arguments = "".join(call.arguments_json for delta in deltas for call in delta.tool_calls)
    assert json.loads(arguments) == json.loads(choice.message.tool_calls[0].arguments_json) == {"city": "Oslo"}


@pytest.mark.parametrize(
    ("status", "rest", "code", "grpc_code"),
    [
        (400, 400, "invalid_request_error", grpc.StatusCode.INVALID_ARGUMENT),
        (401, 424, "upstream_rejected_credentials", grpc.StatusCode.FAILED_PRECONDITION),
        (404, 424, "not_found_error", grpc.StatusCode.FAILED_PRECONDITION),
        (429, 429, "rate_limit_error", grpc.StatusCode.RESOURCE_EXHAUSTED),
        (529, 503, "overloaded_error", grpc.StatusCode.UNAVAILABLE),
    ],
)
async def test_its_refusals_are_mapped(
    stack: Stack, simulator: Provider, status: int, rest: int, code: str, grpc_code: grpc.StatusCode
) -> None:
    simulator.script = lambda call: error_reply(call, status, f"no: {call.key}")
    for stream in (False, True):
        async with stack.async_http() as http:
            answer = await http.post(PATH, json={**BODY, "stream": stream})
        assert (answer.status_code, answer.json()["error"]["code"]) == (rest, code)
        assert "anthropic-key" not in answer.text
    async with stack.channel(LOCAL) as channel:
        service: Any = inference_pb2_grpc.InferenceServiceStub(channel)
        message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="x")])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await service.Chat(pb.ChatRequest(route="claude", messages=[message]), timeout=30)
    assert refused.value.code() is grpc_code
    assert "anthropic-key" not in repr(refused.value)


def test_an_error_event_in_mid_stream_is_told_in_band(stack: Stack, simulator: Provider) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

    seen = simulator.gate()
    simulator.script = lambda call: sse_reply([*message(call).parts[:3], seen, event("error", error)])
    lines: list[str] = []
    with stack.http() as http, http.stream("POST", PATH, json={**BODY, "stream": True}) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            lines += [line] if line else []
            if TEXT in line:
                seen.open()
    assert "data: [DONE]" not in lines
    error = json.loads(lines[-1].removeprefix("data: "))["error"]
    assert error["message"] == "Overloaded"


def test_an_error_event_before_any_output_is_a_status(stack: Stack, simulator: Provider) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    simulator.script = lambda call: sse_reply([*message(call).parts[:2], event("error", error)])
    with stack.http() as http:
        answer = http.post(PATH, json={**BODY, "stream": True})
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "Overloaded")


def test_a_recorded_stream_is_told_whole(stack: Stack, simulator: Provider) -> None:
    """Our fixture of parallel tools, served as bytes: both calls arrive under their own index."""
    path = REPOSITORY / "tests" / "recordings" / "anthropic" / "messages__stream__parallel_tools.json"
    recorded = json.loads(path.read_text())["response"]["sse"].encode()
    simulator.script = lambda call: sse_reply([recorded])
    with stack.http() as http:
        lines = http.post(PATH, json={**BODY, **TOOLS, "stream": True}).text.splitlines()
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    calls = [call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls", [])]
    assert len({call["index"] for call in calls}) == len({call["id"] for call in calls if call.get("id")}) == 2

"""`chat_api: responses`: callers who do not speak that API keep the model's reasoning from one tool call to the next."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc as rpc
from tests.oracles import messages
from tests.provider import Provider
from tests.responses.test_door import TOOL, openai_replies
from tests.stack.stack import Stack

_TURN = ["message", "reasoning", "message", "function_call", "function_call_output"]


def _check_sent(simulator: Provider) -> None:
    """The second request: the thought goes back to OpenAI, before the call that came of it."""
    call = simulator.calls[-1]
    assert call.path == "/v1/responses"
    assert [item["type"] for item in call.json["input"]] == _TURN
    assert call.json["input"][1]["encrypted_content"] == "gAAAAsealed"
    assert (call.json["input"][3]["call_id"], call.json["input"][4]["call_id"]) == ("call_1", "call_1")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_caller_of_messages_keeps_the_reasoning(stack: Stack, simulator: Provider, streamed: bool) -> None:
    simulator.script = openai_replies
    tool = {"name": "find", "input_schema": TOOL["parameters"]}
    turns: list[dict[str, Any]] = [{"role": "user", "content": "What?"}]
    body: dict[str, Any] = {"model": "asked", "max_tokens": 999, "tools": [tool], "messages": turns, "stream": streamed}
    with stack.http() as http:
        first = http.post("/v1/messages", json=body)
        assert first.status_code == 200, first.text
        blocks = _blocks(first.content) if streamed else first.json()["content"]
        assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use"]
        assert blocks[0]["thinking"] == "Look first."
        result = {"type": "tool_result", "tool_use_id": blocks[2]["id"], "content": "found"}
        turns += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
        found = http.post("/v1/messages", json=body)
    assert found.status_code == 200, found.text
    _check_sent(simulator)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_caller_by_grpc_keeps_the_reasoning(stack: Stack, simulator: Provider, streamed: bool) -> None:
    simulator.script = openai_replies
    function = pb.FunctionTool(name="find", parameters_json='{"type":"object"}')
    question = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="What?")])
    request = pb.ChatRequest(route="asked", messages=[question], tools=[pb.Tool(function=function)])
    with grpc.insecure_channel(stack.grpc_local) as channel:
        service = rpc.InferenceServiceStub(channel)
        if streamed:
            answer = _joined(list(service.StreamChat(request, timeout=60)))
        else:
            answer = service.Chat(request, timeout=60).choices[0].message
        assert [part.WhichOneof("part") for part in answer.content] == ["thinking", "text"]
        assert (answer.content[0].thinking.text, answer.content[1].text) == ("Look first.", "Let me see.")
        result = pb.Message(role=pb.ROLE_TOOL, tool_call_id="call_1", content=[pb.ContentPart(text="found")])
        request.messages.extend([answer, result])
        service.Chat(request, timeout=60)
    _check_sent(simulator)


def _blocks(sse: bytes) -> list[dict[str, Any]]:
    """As Anthropic's SDKs join a stream."""
    blocks: list[dict[str, Any]] = []
    for each in messages.events(sse):
        if each["type"] == "content_block_start":
            blocks.append(dict(each["content_block"]))
            arguments = ""
        elif each["type"] == "content_block_delta":
            delta = each["delta"]
            if delta["type"] == "input_json_delta":
                arguments += delta["partial_json"]
                continue
            name = delta["type"].removesuffix("_delta")
            blocks[-1][name] += delta[name]
        elif each["type"] == "content_block_stop" and blocks[-1]["type"] == "tool_use":
            blocks[-1]["input"] = json.loads(arguments or "{}")
    return blocks


def _joined(chunks: list[pb.StreamChatResponse]) -> pb.Message:
    """As the comments of the contract tell callers to join a stream."""
    message, thought, text = pb.Message(role=pb.ROLE_ASSISTANT), pb.Thinking(), ""
    for chunk in chunks:
        for choice in chunk.choices:
            delta = choice.delta
            text += delta.content
            thought.text += delta.thinking.text
            for name in ("signature", "redacted", "native_name", "format"):
                if delta.thinking.HasField(name):
                    setattr(thought, name, getattr(delta.thinking, name))
            for call in delta.tool_calls:
                if call.id:
                    message.tool_calls.add(id=call.id, name=call.name)
                message.tool_calls[call.index].arguments_json += call.arguments_json
    message.content.extend([pb.ContentPart(thinking=thought), pb.ContentPart(text=text)])
    return message

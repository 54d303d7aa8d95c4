"""One contract for both clients and every kind of target: the same calls, the same values, whatever carries them."""

from __future__ import annotations

import inspect
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from llm_gateway_client import (
    AsyncClient,
    ChatResponse,
    Choice,
    ChunkChoice,
    Client,
    Delta,
    Logprobs,
    Message,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
)

from tests.client.entrances import Entrance
from tests.provider import Call, Provider, data, json_reply, sse_reply
from tests.provider.claude import TURN, thinks_first
from tests.stack.stack import Stack

pytestmark = pytest.mark.slow
HELLO = [{"role": "user", "content": "one two"}]
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"b": {}, "a": {}}}},
}
CALLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "chat": ("chat", ("chat", HELLO), {"temperature": 0.1, "n": 2}),
    "a plain question": ("chat", ("chat", "one two"), {"tools": [TOOL], "tool_choice": "auto"}),
    "chat of another format": ("chat", ("claude", HELLO), {"max_tokens": 7}),
    "stream": ("stream_chat", ("chat", HELLO), {}),
    "stream of another format": ("stream_chat", ("claude", HELLO), {"max_tokens": 7}),
    "complete": ("complete", ("completions", "Once"), {"stop": ["x"], "extra": {"top_k": 3}}),
    "stream of a text": ("stream_complete", ("completions", "Once upon"), {}),
    "embed": ("embed", ("embeddings", ["cats", "dogs"]), {}),
    "embed in base64": ("embed", ("embeddings", "cats"), {"encoding_format": "base64"}),
}


def same(value: Any) -> Any:
    """Without what every call has of its own."""
    if isinstance(value, list):
        return [same(each) for each in value]
    return replace(value, **{name: type(getattr(value, name))() for name in ("id", "created") if hasattr(value, name)})


@pytest.fixture(scope="module")
def by_rest(stack: Stack) -> dict[str, Any]:
    """What the sync client gets by REST: the others are compared with it."""
    return {}


@pytest.mark.parametrize("name", CALLS)
async def test_every_entrance_gives_the_same_values(
    entrance: Entrance, name: str, stack: Stack, simulator: Provider, by_rest: dict[str, Any]
) -> None:
    method, arguments, keywords = CALLS[name]
    if name not in by_rest:
        answer = await Entrance("sync-rest", stack).call(method, *arguments, **keywords)
        by_rest[name] = answer, simulator.calls[-1].json
    answer = await entrance.call(method, *arguments, **keywords)
    assert same(answer) == same(by_rest[name][0])
    provider_request = simulator.calls[-1].json
    assert provider_request == by_rest[name][1], "the provider was asked the same"
    assert not isinstance(answer, list) or len(answer) > 2


async def test_a_chat_says_all_that_the_provider_said(entrance: Entrance, simulator: Provider) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"b": 1,"a":  2.0}'}}
    token = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    simulator.script = lambda _: json_reply(
        {
            "id": "chatcmpl-7", "object": "chat.completion", "created": 17, "model": "m-1", "system_fingerprint": "fp",
            "service_tier": "flex", "x_more": {"big": 12345678901234567890},
            "choices": [{
                "index": 0, "finish_reason": "tool_calls",
                "message": {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
                "logprobs": {"content": [{**token, "top_logprobs": [token]}], "refusal": None},
            }],
            "usage": {
                "prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        }
    )  # fmt: skip
    answer: ChatResponse = await entrance.call("chat", "chat", HELLO)
    top = TokenLogprob("é", -0.5, b"\xc3\xa9")
    message = Message("assistant", reasoning="hm", tool_calls=(ToolCall("c1", "f", '{"b": 1,"a":  2.0}'),))
    choice = Choice(0, message, "tool_calls", Logprobs((replace(top, top=(top,)),)))
    usage = Usage(9, 5, 14, cached_input_tokens=3, reasoning_tokens=2)
    assert answer == ChatResponse("chatcmpl-7", 17, "m-1", (choice,), usage, "fp", "flex")
    assert answer.raw["x_more"] == {"big": 12345678901234567890}
    assert answer.choices[0].message.tool_calls[0].parsed() == {"a": 2.0, "b": 1}
    assert answer.text == ""


async def test_what_was_thought_is_output_however_the_provider_counts_it(
    entrance: Entrance, simulator: Provider
) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 4100}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
    simulator.script = lambda _: json_reply(
        {"id": "c", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    )
    answer: ChatResponse = await entrance.call("chat", "chat", HELLO)
    assert answer.usage == Usage(1000, 3100, 4100)


async def test_a_streamed_chat_says_all_that_the_provider_said(entrance: Entrance, simulator: Provider) -> None:
    def chunk(**choice: Any) -> bytes:
        return data({"id": "s", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})

    pieces = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}]
    more = [{"index": 0, "function": {"arguments": '{"a":1}'}}]
    simulator.script = lambda _: sse_reply(
        [
            chunk(index=0, delta={"role": "assistant", "content": ""}, finish_reason=None),
            chunk(index=0, delta={"reasoning_content": "hm"}, finish_reason=None),
            chunk(index=0, delta={"content": "line\u2028one"}, finish_reason=None),
            chunk(index=0, delta={"tool_calls": pieces}, finish_reason=None),
            chunk(index=0, delta={"tool_calls": more}, finish_reason=None),
            chunk(index=0, delta={}, finish_reason="tool_calls"),
            data(
                {
                    "id": "s",
                    "created": 1,
                    "model": "m",
                    "choices": [],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
                }
            ),
            data("[DONE]"),
        ]
    )
    chunks = await entrance.call("stream_chat", "chat", HELLO)
    choices = [choice for each in chunks for choice in each.choices]
    assert choices == [
        ChunkChoice(0, Delta("assistant", "")),
        ChunkChoice(0, Delta(reasoning="hm")),
        ChunkChoice(0, Delta(content="line\u2028one")),
        ChunkChoice(0, Delta(tool_calls=(ToolCallDelta(0, "c", "f"),))),
        ChunkChoice(0, Delta(tool_calls=(ToolCallDelta(0, arguments='{"a":1}'),))),
        ChunkChoice(0, Delta(), "tool_calls"),
    ]
    assert [each.usage for each in chunks if each.usage is not None] == [Usage(1, 2, 3)]


async def test_an_answer_goes_back_as_the_next_turn(entrance: Entrance, simulator: Provider) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    first = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"}
    simulator.script = lambda _: json_reply({"id": "x", "choices": [{"index": 0, "message": first}]})
    answer: ChatResponse = await entrance.call("chat", "chat", HELLO)
    simulator.script = None
    await entrance.call("chat", "chat", [*HELLO, answer.choices[0].message, Message("tool", "4", tool_call_id="c1")])
    provider_messages = simulator.calls[-1].json["messages"]
    assert provider_messages[1]["tool_calls"] == [call]
    assert "reasoning_content" not in provider_messages[1]
    assert provider_messages[2] == {"role": "tool", "content": "4", "tool_call_id": "c1"}


async def test_a_signed_thought_goes_back_with_the_message_and_what_does_not_is_named(
    entrance: Entrance, simulator: Provider
) -> None:
    simulator.script = thinks_first
    first: ChatResponse = await entrance.call("chat", "claude", HELLO)
    message = first.choices[0].message
    assert message.reasoning == "I should look."
    assert [each["type"] for each in message.reasoning_details] == ["reasoning.text", "reasoning.encrypted"]
    results = [Message("tool", "4", tool_call_id=call.id) for call in message.tool_calls]
    again: ChatResponse = await entrance.call("chat", "claude", [*HELLO, message, *results])
    assert simulator.calls[-1].json["messages"][1]["content"] == TURN
    assert again.left_out == ()
    echo = {"role": "assistant", "content": "x", "annotations": [], "reasoning_content": "hm"}
    left_out = {"messages[].annotations", "messages[].reasoning_content"}
    assert set((await entrance.call("chat", "claude", [*HELLO, echo, *HELLO])).left_out) == left_out
    chunks = await entrance.call("stream_chat", "claude", [*HELLO, echo, *HELLO])
    assert [set(chunk.left_out) for chunk in chunks[:2]] == [left_out, set()]


@pytest.mark.parametrize("name", ["sync-stub", "async-grpcs", "sync-rest"])
async def test_an_answer_above_grpcs_own_limit_arrives(name: str, stack: Stack, simulator: Provider) -> None:
    dims, count = 1536, 400

    def reply(_: Call) -> Any:
        rows = [{"index": i, "embedding": [0.123456789] * dims} for i in range(count)]
        return json_reply({"object": "list", "model": "m", "data": rows})

    simulator.script = reply
    answer = await Entrance(name, stack).call("embed", "embeddings", ["x"] * count)
    assert [len(vector) for vector in answer.vectors] == [dims] * count


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_rest_goes_by_http2_too(kind: str, stack: Stack) -> None:
    entrance = Entrance(f"{kind}-rest", stack)
    assert (await entrance.call("chat", "chat", HELLO, client={"http2": True})).text == "echo: one two"
    assert "".join(chunk.text for chunk in await entrance.call("stream_chat", "chat", HELLO, client={"http2": True}))


def test_threads_share_a_client(stack: Stack) -> None:
    with ThreadPoolExecutor(16) as threads, Entrance("sync-stub", stack).sync() as client:
        answers = threads.map(lambda number: client.chat("chat", f"{number}").text, range(64))
        assert list(answers) == [f"echo: {number}" for number in range(64)]


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    sync, other = _signatures(Client), _signatures(AsyncClient)
    assert sync.pop("close") == other.pop("aclose")
    assert sync == other


def _signatures(class_: type) -> dict[str, str]:
    return {
        name: str(inspect.signature(member).replace(return_annotation=inspect.Signature.empty))
        for name, member in inspect.getmembers(class_, inspect.isfunction)
        if not name.startswith("_") or name == "__init__"
    }

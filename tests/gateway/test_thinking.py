"""What a thought and other echoes become on their way back: by REST, by stub, with fallbacks; and where it is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Task
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Retries, Route, Upstream
from sidecar.v1 import inference_pb2 as pb
from sidecar.worker.rest.reply import names_within
from tests.provider import Call, Provider, Reply, error_reply, json_reply
from tests.provider.claude import TURN, thinks_first
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import Http, post

USER = {"role": "user", "content": "hi"}
ECHO = {"role": "assistant", "content": "x", "reasoning_content": "hm", "annotations": []}
NAMES = "messages[].reasoning_content, messages[].annotations"
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]


def claude(provider: Provider) -> Any:
    return snapshot([route("claude", Task.CHAT, provider.base_url, provider="anthropic")])


def chat_body(*messages: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"model": "claude", "max_tokens": 99, "tools": TOOLS, "messages": [USER, *messages], **members}


def results(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": call["id"], "content": "42"} for call in message["tool_calls"]]


def sorted_names(answer: Http) -> list[str]:
    return sorted(answer.headers["x-sidecar-left-out"].split(", "))


async def test_a_message_that_is_sent_back_as_it_came_reaches_claude_as_claudes_own_blocks(provider: Provider) -> None:
    provider.script = thinks_first
    async with WorkerProcess(claude(provider)) as worker:
        first = (await post(worker, "ChatCompletions", chat_body())).json["choices"][0]["message"]
        second = await post(worker, "ChatCompletions", chat_body(first, *results(first)))
    assert second.json["choices"][0]["message"]["content"] == "42"
    assert "x-sidecar-left-out" not in second.headers
    assert provider.calls[1].json["messages"][1] == {"role": "assistant", "content": TURN}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_too_has_what_was_left_out(provider: Provider, stream: bool) -> None:
    provider.script = lambda call: error_reply(call, 400, "no")
    async with WorkerProcess(claude(provider)) as worker:
        refused = await post(worker, "ChatCompletions", chat_body(ECHO, USER, stream=stream))
    assert refused.status == 400
    assert sorted_names(refused) == sorted(NAMES.split(", "))
    assert "x-sidecar-upstream" not in refused.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_left_out_stands_in_a_header_of_answers_and_streams(provider: Provider, stream: bool) -> None:
    provider.script = thinks_first
    async with WorkerProcess(claude(provider)) as worker:
        answer = await post(worker, "ChatCompletions", chat_body(ECHO, USER, stream=stream))
    assert answer.status == 200
    assert sorted_names(answer) == sorted(NAMES.split(", "))
    assert provider.calls[0].json["messages"][1] == {"role": "assistant", "content": "x"}


async def test_a_refusal_of_the_provider_says_it_too(provider: Provider) -> None:
    """Claude wants its thoughts with the results of tools: who lost them reads why, and what did not go."""
    text = "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`."
    provider.script = lambda _: json_reply(
        {"type": "error", "error": {"type": "invalid_request_error", "message": text}}, status=400
    )
    async with WorkerProcess(claude(provider)) as worker:
        answer = await post(worker, "ChatCompletions", chat_body(ECHO, USER))
    assert answer.status == 400
    assert text in answer.error["message"]
    assert sorted_names(answer) == sorted(NAMES.split(", "))


def typed_history(thinking: pb.Thinking) -> pb.ChatRequest:
    assistant = pb.Message(
        role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(thinking=thinking), pb.ContentPart(text="x")]
    )
    user = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])
    return pb.ChatRequest(route="claude", messages=[user, assistant, user], max_tokens=99)


async def test_typed_answers_go_back_whole_and_say_what_was_left_out(provider: Provider) -> None:
    provider.script = thinks_first
    user = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])
    async with WorkerProcess(claude(provider)) as worker:
        stub = worker.inference()
        first = await stub.Chat(pb.ChatRequest(route="claude", messages=[user], max_tokens=99))
        assistant = first.choices[0].message
        again = await stub.Chat(pb.ChatRequest(route="claude", messages=[user, assistant, user], max_tokens=99))
        whole = await stub.Chat(typed_history(pb.Thinking(text="hm")))
        chunks = [chunk async for chunk in stub.StreamChat(typed_history(pb.Thinking(text="hm")))]
    assert provider.calls[1].json["messages"][1]["content"] == TURN
    assert list(again.left_out) == []
    assert list(whole.left_out) == ["messages[].content[].thinking"]
    assert [list(chunk.left_out) for chunk in chunks[:2]] == [["messages[].content[].thinking"], []]


async def test_what_was_left_out_is_counted_by_route_and_member(provider: Provider) -> None:
    provider.script = thinks_first
    async with WorkerProcess(claude(provider), metrics=True) as worker:
        for _ in range(2):
            await post(worker, "ChatCompletions", chat_body(ECHO, USER))
        labels = {"route": "claude", "member": "messages[].annotations"}
        counts = [each.value for each in worker.samples("sidecar_left_out_total") if each.labels == labels]
        assert counts == [2]


async def test_a_history_with_thoughts_of_one_model_does_not_rule_out_another(provider: Provider) -> None:
    """In turn: a Claude that is down, and a Mistral that refuses what it does not know."""

    def script(call: Call) -> Reply:
        if call.path == "/v1/messages":
            return error_reply(call, 503, "busy")
        assistant = call.json["messages"][1]
        assert assistant == {"role": "assistant", "content": "x"}, assistant
        choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
        return json_reply({"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})

    provider.script = script
    upstreams = tuple(
        Upstream(provider=name, base_url=provider.base_url, model="m", key=Secret("k"))
        for name in ("anthropic", "mistral")
    )
    routes = snapshot([Route("claude", Task.CHAT, upstreams, retries=Retries(budget=1, backoff_s=0.001))])
    details = [{"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0}]
    message = {**ECHO, "reasoning_details": details}
    body = {"model": "claude", "messages": [USER, message, USER]}
    typed = typed_history(pb.Thinking(text="hm", signature=b"s", format="anthropic-claude-v1"))
    async with WorkerProcess(routes) as worker:
        answer = await post(worker, "ChatCompletions", body)
        by_stub = await worker.inference().Chat(typed)
    assert answer.json["choices"][0]["message"]["content"] == "ok"
    assert answer.headers["x-sidecar-upstream"] == "mistral"
    assert "messages[].reasoning_details" in sorted_names(answer)
    assert list(by_stub.left_out) == ["messages[].content[].thinking"]
    first = json.loads(provider.calls[0].body)["messages"][1]["content"]
    assert first[0] == {"type": "thinking", "thinking": "hm", "signature": "s"}, "Claude got its own"


def test_the_header_ends_with_a_count_where_the_names_are_too_long() -> None:
    names = [f"messages[].member_{number:03}" for number in range(100)]
    shown = names_within(names, 1024)
    assert len(shown) <= 1024
    *kept, last = shown.split(", ")
    assert kept == names[: len(kept)]
    assert last == f"and {100 - len(kept)} more"
    assert names_within(names[:2], 1024) == "messages[].member_000, messages[].member_001"

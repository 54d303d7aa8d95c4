"""What a request says beside what it asks: left out and said by REST and by stub, or refused where the route is strict."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from adapters import Task
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Route, Upstream
from sidecar.v1 import inference_pb2 as pb
from tests.provider import Call, Provider, Reply, default_reply, json_reply
from tests.worker.running import WorkerProcess, snapshot
from tests.worker.test_rest import post

# What agent frameworks and SDKs send with every call.
HINTS: dict[str, Any] = {"n": 1, "prompt_cache_key": "k", "user": "u", "logit_bias": {}, "verbosity": "medium"}
USER = {"role": "user", "content": "hi", "name": "alice"}
COHERE = {
    "id": "1",
    "message": {"role": "assistant", "content": [{"type": "text", "text": "ok"}]},
    "finish_reason": "COMPLETE",
}


def answers(call: Call) -> Reply:
    return json_reply(COHERE) if call.path == "/v2/chat" else default_reply(call, call.json)


def routes(provider: Provider, *providers: str, **options: Any) -> Any:
    upstreams = tuple(
        Upstream(provider=name, base_url=provider.base_url, model="m", key=Secret("k"), options=options)
        for name in providers
    )
    return snapshot([Route("chat", Task.CHAT, upstreams)])


def body(**members: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [USER], **HINTS, **members}


def typed() -> pb.ChatRequest:
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")], name="alice")
    return pb.ChatRequest(
        route="chat", messages=[message], n=1, prompt_cache_key="k", user="u", logit_bias_json="{}", verbosity="medium"
    )


async def test_hints_are_left_out_and_said_by_rest_and_by_stub(provider: Provider) -> None:
    provider.script = answers
    async with WorkerProcess(routes(provider, "cohere"), metrics=True) as worker:
        answer = await post(worker, "ChatCompletions", body())
        by_stub = await worker.inference().Chat(typed())
        counted = {each.labels["member"]: each.value for each in worker.samples("sidecar_left_out_total") if each.value}
    names = {*HINTS, "messages[].name"}
    assert answer.status == 200
    assert set(answer.headers["x-sidecar-left-out"].split(", ")) == names
    assert set(by_stub.left_out) == names
    assert counted == dict.fromkeys(names, 2.0)
    sent = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    assert [call.json for call in provider.calls] == [sent, sent]


async def test_a_strict_route_refuses_what_would_be_left_out(provider: Provider) -> None:
    provider.script = answers
    async with WorkerProcess(routes(provider, "cohere", strict=True, drop_params=("n",))) as worker:
        answer = await post(worker, "ChatCompletions", body())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await worker.inference().Chat(typed())
        dropped = await post(worker, "ChatCompletions", {"model": "chat", "messages": [{**USER, "name": None}], "n": 1})
    assert (answer.status, answer.error["code"]) == (400, "unsupported_parameter")
    assert "the route is strict" in answer.error["message"]
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (dropped.status, dropped.headers["x-sidecar-left-out"]) == (200, "n")


async def test_a_strict_route_goes_on_to_a_model_that_has_a_place_for_all_of_it(provider: Provider) -> None:
    provider.script = answers
    async with WorkerProcess(routes(provider, "cohere", "openai", strict=True)) as worker:
        answer = await post(worker, "ChatCompletions", body())
    assert answer.headers["x-sidecar-upstream"] == "openai"
    assert "x-sidecar-left-out" not in answer.headers
    assert provider.calls[0].json["prompt_cache_key"] == "k"


async def test_a_nested_member_is_dropped_from_a_body_that_passes(provider: Provider) -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"maximum": 1.50}}}
    names = ("messages[].name", "tools[].function.strict")
    async with WorkerProcess(routes(provider, "openai", drop_params=names)) as worker:
        answer = await post(worker, "ChatCompletions", body(tools=[tool]))
    assert answer.status == 200
    assert set(answer.headers["x-sidecar-left-out"].split(", ")) == {*names}
    (call,) = provider.calls
    assert call.json["messages"] == [{"role": "user", "content": "hi"}]
    assert call.json["tools"][0]["function"] == {"name": "f", "parameters": {"maximum": 1.5}}

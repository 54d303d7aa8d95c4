"""InferenceService and RouteService by stub, against a provider on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from adapters import Task
from sidecar.domain.snapshot import Timeouts
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import routes_pb2
from tests.provider import Call, Gate, Provider, Reply, data, error_reply, json_reply, sse_reply
from tests.worker.running import KEY, WorkerProcess, default_routes, route, snapshot


def chat(text: str = "hello", **fields: object) -> pb.ChatRequest:
    message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text)])
    return pb.ChatRequest(route="chat", messages=[message], **fields)  # type: ignore[arg-type]


def details(error: grpc.aio.AioRpcError) -> dict[str, object]:
    """google.rpc details by type name."""
    found: dict[str, object] = {}
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == "grpc-status-details-bin":
            for packed in status_pb2.Status.FromString(value).details:
                for kind in (error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, error_details_pb2.BadRequest):
                    if packed.Is(kind.DESCRIPTOR):
                        message = kind()
                        packed.Unpack(message)
                        found[kind.__name__] = message
    return found


async def test_a_chat_by_stub_reaches_the_provider_and_comes_back(provider: Provider) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await worker.inference().Chat(chat("hello there", temperature=0.1, seed=0))
    assert "hello there" in answer.choices[0].message.content[0].text
    assert answer.choices[0].finish_reason == pb.FINISH_REASON_STOP
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
    [call] = provider.calls
    assert call.key == KEY
    sent = call.json
    assert sent["model"] == "gpt-test"
    assert sent["temperature"] == 0.1
    assert sent["seed"] == 0
    assert "top_p" not in sent, "a parameter nobody asked for was invented"


async def test_a_streamed_chat_arrives_piece_by_piece_as_the_provider_produces_it(provider: Provider) -> None:
    gates = [provider.gate(f"g{i}") for i in range(3)]

    def script(call: Call) -> Reply:
        parts: list[object] = []
        for i, gate in enumerate(gates):
            parts += [gate, data({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                                  "choices": [{"index": 0, "delta": {"content": f"p{i}"}}]})]  # fmt: skip
        last = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}  # fmt: skip
        return sse_reply([*parts, data(last), b"data: [DONE]\n\n"])  # type: ignore[list-item]

    provider.script = script
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        stream = worker.inference().StreamChat(chat())
        seen = []
        for gate in gates:
            gate.open()  # the provider may produce one more piece only now
            chunk = await asyncio.wait_for(stream.read(), 10)
            seen.append(chunk.choices[0].delta.content)
        rest = [chunk async for chunk in _rest(stream)]
    assert seen == ["p0", "p1", "p2"]
    assert rest[-1].choices[0].finish_reason == pb.FINISH_REASON_STOP


async def _rest(stream: Any) -> AsyncIterator[pb.StreamChatResponse]:
    while chunk := await stream.read():
        yield chunk


async def test_completions_and_embeddings_by_stub(provider: Provider) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        stub = worker.inference()
        completed = await stub.Complete(pb.CompleteRequest(route="completions", prompts=[pb.Prompt(text="once")]))
        chunks = [
            chunk
            async for chunk in stub.StreamComplete(
                pb.CompleteRequest(route="completions", prompts=[pb.Prompt(text="once")])
            )
        ]
        vectors = await stub.Embed(
            pb.EmbedRequest(route="embeddings", inputs=[pb.EmbedInput(text="a"), pb.EmbedInput(text="b")])
        )
    assert completed.choices[0].text
    assert "".join(c.choices[0].text for c in chunks if c.choices) == completed.choices[0].text
    assert [v.index for v in vectors.embeddings] == [0, 1]
    assert len(vectors.embeddings[0].values.values) > 0


async def test_a_three_megabyte_answer_reaches_a_stub_with_the_documented_setting(provider: Provider) -> None:
    numbers = [i / 7919 for i in range(1536)]
    vectors = [{"object": "embedding", "index": i, "embedding": numbers} for i in range(130)]
    body = {"object": "list", "model": "m", "data": vectors, "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    assert len(json.dumps(body)) > 3_000_000
    provider.script = lambda call: json_reply(body)
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        answer = await worker.inference().Embed(
            pb.EmbedRequest(route="embeddings", inputs=[pb.EmbedInput(text="x")] * 130)
        )
    assert len(answer.embeddings) == 130
    assert list(answer.embeddings[129].values.values) == numbers


@pytest.mark.parametrize(
    ("status", "body", "code", "reason"),
    [
        (401, {"error": {"message": f"Incorrect key: {KEY}"}}, "FAILED_PRECONDITION", "UPSTREAM_REJECTED_CREDENTIALS"),
        (404, {"error": {"message": "no such model"}}, "FAILED_PRECONDITION", "UPSTREAM_NOT_FOUND"),
        (400, {"error": {"message": "bad", "param": "messages"}}, "INVALID_ARGUMENT", "INVALID_REQUEST"),
        (429, {"error": {"message": "slow down"}}, "RESOURCE_EXHAUSTED", "RATE_LIMITED"),
        (500, {"error": {"message": "oops"}}, "UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
        (503, "<html>no</html>", "UNAVAILABLE", "UPSTREAM_UNAVAILABLE"),
        (302, "", "INTERNAL", "UPSTREAM_PROTOCOL"),
        (200, "not json", "INTERNAL", "UPSTREAM_PROTOCOL"),
    ],
)  # fmt: skip
async def test_provider_failures_have_the_statuses_of_the_error_table(
    provider: Provider, status: int, body: object, code: str, reason: str
) -> None:
    provider.script = lambda call: Reply(
        status,
        (("content-type", "application/json"), ("location", "http://127.0.0.1:1/")),
        (json.dumps(body).encode(),),
    )
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker.inference().Chat(chat())
    assert caught.value.code().name == code
    info = details(caught.value)["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (reason, "sidecar")
    assert KEY not in str(caught.value)
    assert len(provider.calls) == 1 + (reason in ("RATE_LIMITED", "UPSTREAM_UNAVAILABLE"))  # the default's one retry


async def test_a_providers_retry_after_reaches_the_caller(provider: Provider) -> None:
    provider.script = lambda call: error_reply(call, 429, "slow down", headers=(("retry-after", "70"),))
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker.inference().Chat(chat())
    retry = details(caught.value)["RetryInfo"]
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.seconds == 70
    assert len(provider.calls) == 1, "nobody waits that long inside a call"


async def test_unknown_route_and_wrong_task_are_told_apart(provider: Provider) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        stub = worker.inference()
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await stub.Chat(pb.ChatRequest(route="nope", messages=chat().messages))
        with pytest.raises(grpc.aio.AioRpcError) as wrong:
            await stub.Embed(pb.EmbedRequest(route="chat", inputs=[pb.EmbedInput(text="x")]))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
    assert wrong.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert provider.calls == []


async def test_a_deadline_ends_the_provider_call(provider: Provider) -> None:
    gate = provider.gate()
    provider.script = lambda call: Reply(200, (), (gate, b"{}"))
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker.inference().Chat(chat(), timeout=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await provider.until(lambda p: p.calls and p.calls[0].outcome == "peer_closed")


async def test_without_a_deadline_the_routes_total_timeout_holds(provider: Provider) -> None:
    gate = provider.gate()
    provider.script = lambda call: Reply(200, (), (gate, b"{}"))
    async with WorkerProcess(default_routes(provider.base_url, Timeouts(total_s=0.3))) as worker:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker.inference().Chat(chat())
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert details(caught.value)["ErrorInfo"].reason == "UPSTREAM_TIMEOUT"  # type: ignore[attr-defined]


async def test_a_field_this_contract_does_not_know_is_refused_by_number(provider: Provider) -> None:
    known = chat()
    known.messages[0].content[0].MergeFromString(bytes([0xFA, 0x3F, 2]) + b"hi")  # field 1023, two bytes
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await worker.inference().Chat(known)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "1023" in (caught.value.details() or "")
    assert "sidecar.v1.ContentPart" in (caught.value.details() or "")
    assert provider.calls == []


async def test_routes_are_listed_in_pages_in_the_files_order(provider: Provider) -> None:
    many = snapshot(route(f"r{i:03}", Task.CHAT, provider.base_url) for i in range(250))
    async with WorkerProcess(many) as worker:
        stub = worker.routes()
        names: list[str] = []
        token = ""
        while True:
            page = await stub.ListRoutes(routes_pb2.ListRoutesRequest(page_size=100, page_token=token))
            names += [each.name for each in page.routes]
            token = page.next_page_token
            if not token:
                break
        one = await stub.GetRoute(routes_pb2.GetRouteRequest(name="r007"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.ListRoutes(routes_pb2.ListRoutesRequest(page_token="not ours"))
    assert names == [f"r{i:03}" for i in range(250)]
    assert (one.route.model.provider, one.route.model.name) == ("openai", "gpt-test")
    assert KEY not in str(one)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_cancelled_call_closes_the_providers_connection_at_once(provider: Provider) -> None:
    gate = provider.gate()

    def script(call: Call) -> Reply:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                 "choices": [{"index": 0, "delta": {"content": "x"}}]}  # fmt: skip
        return sse_reply([data(chunk), gate])

    provider.script = script
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        stream = worker.inference().StreamChat(chat())
        await stream.read()
        cancelled_s = time.monotonic()
        stream.cancel()
        await provider.until(lambda p: not p.open_connections)
        closed_s = provider.connections[0].closed_s
        assert closed_s is not None
        assert closed_s - cancelled_s < 0.25


async def test_gates_are_real() -> None:
    """Positive control: a closed gate does hold a reply back."""
    with Provider() as provider:
        gate: Gate = provider.gate()
        provider.script = lambda call: sse_reply([gate, b"data: [DONE]\n\n"])
        async with WorkerProcess(default_routes(provider.base_url)) as worker:
            stream = worker.inference().StreamChat(chat())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(stream.read())), 0.3)
            stream.cancel()

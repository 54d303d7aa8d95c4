"""gRPC clients that retry by policy, and clients that stop reading."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from sidecar.control.channel import GRPC_SERVERS
from sidecar.domain.snapshot import Admission, Snapshot, Timeouts
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.provider import Call, End, Provider, Reply, data, sse_reply
from tests.worker.running import WorkerProcess, default_routes
from tests.worker.test_typed import chat

# The most a service config allows, for every code that the gateway could answer.
POLICY = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.05s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "INTERNAL", "ABORTED",
                                         "FAILED_PRECONDITION"],
            },
        }
    ]
}  # fmt: skip


def retrying(worker: WorkerProcess) -> Any:
    options = [("grpc.service_config", json.dumps(POLICY)), ("grpc.enable_retries", 1)]
    channel = grpc.aio.insecure_channel(f"unix:{worker.ready.grpc_path}", options)
    worker.channels.append(channel)
    return inference_pb2_grpc.InferenceServiceStub(channel)


async def test_a_retry_policy_does_not_multiply_with_the_gateways_own(provider: Provider) -> None:
    failures = {
        **{str(status): Reply(status, parts=(b"{}",)) for status in (401, 404, 408, 429, 500, 503, 529)},
        "no answer": Reply(head=False, end=End.CUT),
        "reset": Reply(head=False, end=End.RST),
        "nonsense": Reply(parts=(b"nonsense",)),
    }
    counts = {}
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        stub = retrying(worker)
        for name, reply in failures.items():
            for streamed in (False, True):
                provider.script = lambda call, reply=reply: reply
                before = len(provider.calls)
                with pytest.raises(grpc.aio.AioRpcError):
                    await (stub.StreamChat(chat()).read() if streamed else stub.Chat(chat()))
                counts[name, streamed] = len(provider.calls) - before
    assert max(counts.values()) <= 3, counts
    assert min(counts.values()) >= 1, counts


async def test_without_the_pushback_a_retry_policy_does_multiply(provider: Provider) -> None:
    """Positive control: what the gateway has not tried itself, a client by this policy tries five times."""
    provider.script = lambda call: Reply(parts=(b"{}",), head_delay_s=0.0)
    refusing = replace(default_routes(provider.base_url), admission=Admission(1))
    async with WorkerProcess(refusing, metrics=True) as worker:
        gate = provider.gate()
        provider.script = lambda call: Reply(before=gate)
        held = worker.inference().Chat(chat())
        await provider.until(lambda p: p.calls)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await retrying(worker).Chat(chat(), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        counted = worker.samples("sidecar_requests_total")
        refused = sum(sample.value for sample in counted if sample.labels["outcome"] == "overloaded")
        held.cancel()
    assert refused == 5


def hurried(base_url: str) -> Snapshot:
    return default_routes(base_url, Timeouts(write_s=0.5))


def endless(call: Call) -> Reply:
    text = "x" * 60_000
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    chunk = data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
    return sse_reply([chunk] * 2000)


async def rest_of(stream: Any) -> list[Any]:
    """The chunks still to come, read one by one."""
    return [chunk async for chunk in stream]


@pytest.mark.parametrize("grpc_server", GRPC_SERVERS)
async def test_a_client_that_stops_reading_is_cut_and_holds_nothing_up(provider: Provider, grpc_server: str) -> None:
    """120 MB are more than any buffer on the way."""
    provider.script = endless
    async with WorkerProcess(hurried(provider.base_url), grpc_server=grpc_server) as worker:
        stream = worker.inference().StreamChat(chat())
        chunks = aiter(stream)
        first: pb.StreamChatResponse = await anext(chunks)
        assert first.upstream == "openai"
        await provider.until(lambda p: not p.open_connections)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rest_of(chunks)
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        provider.script = None
        assert (await worker.inference().Chat(chat())).upstream == "openai"


async def test_a_client_that_reads_slowly_but_reads_is_not_cut(provider: Provider) -> None:
    provider.script = lambda call: replace(
        endless(call), parts=[*list(endless(call).parts)[:30], FINISH, b"data: [DONE]\n\n"]
    )
    async with WorkerProcess(hurried(provider.base_url)) as worker:
        stream = worker.inference().StreamChat(chat())
        assert len(await rest_of(stream)) == 31


FINISH = data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
               "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})  # fmt: skip


@pytest.mark.parametrize("grpc_server", GRPC_SERVERS)
async def test_the_upstream_is_named_in_every_kind_of_typed_answer(provider: Provider, grpc_server: str) -> None:
    async with WorkerProcess(default_routes(provider.base_url), grpc_server=grpc_server) as worker:
        stub = worker.inference()
        assert (await stub.Chat(chat())).upstream == "openai"
        embed = pb.EmbedRequest(route="embeddings", inputs=[pb.EmbedInput(text="a")])
        assert (await stub.Embed(embed)).upstream == "openai"
        complete = pb.CompleteRequest(route="completions", prompts=[pb.Prompt(text="once")])
        assert (await stub.Complete(complete)).upstream == "openai"
        for call in (stub.StreamChat(chat()), stub.StreamComplete(complete)):
            names = [chunk.upstream for chunk in await rest_of(call)]
            assert names[0] == "openai"
            assert set(names[1:]) == {""}

"""A Python service calls through every entrance: the local gRPC port and socket, and the front with TLS and a credential."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc, routes_pb2, routes_pb2_grpc
from tests.provider import Provider, Reply, json_reply
from tests.stack.stack import FRONT, LOCAL, SOCKET, Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]
ENTRANCES = [LOCAL, SOCKET, FRONT]
CALL_S = 60


class Caller:
    """The services by one way in."""

    def __init__(self, stack: Stack, entrance: str, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.inference: Any = inference_pb2_grpc.InferenceServiceStub(channel)
        self.routes: Any = routes_pb2_grpc.RouteServiceStub(channel)
        self.settings: dict[str, Any] = {"metadata": stack.metadata(entrance), "timeout": CALL_S}


@pytest.fixture(params=ENTRANCES)
async def caller(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    async with stack.channel(request.param) as channel:
        yield Caller(stack, request.param, channel)


def chat(text: str = "Hi", route: str = "chat") -> pb.ChatRequest:
    return pb.ChatRequest(route=route, messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text)])])


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value


@pytest.mark.parametrize("entrance", ENTRANCES)
async def test_all_seven_calls_are_answered_by_the_real_model(model_stack: Stack, entrance: str) -> None:
    async with model_stack.channel(entrance) as channel:
        caller = Caller(model_stack, entrance, channel)
        request = chat("Say hello.")
        request.max_tokens = 12
        answer = await caller.inference.Chat(request, **caller.settings)
        assert answer.choices[0].message.content[0].text
        assert answer.usage.output_tokens > 0
        chunks = [chunk async for chunk in caller.inference.StreamChat(request, **caller.settings)]
        assert chunks[0].id
        assert chunks[-1].usage.output_tokens > 0
        assert "".join(choice.delta.content for chunk in chunks for choice in chunk.choices)
        assert len([choice for chunk in chunks for choice in chunk.choices if choice.finish_reason]) == 1
        prompt = pb.CompleteRequest(route="completions", prompts=[pb.Prompt(text="Once upon")], max_tokens=8)
        assert (await caller.inference.Complete(prompt, **caller.settings)).choices[0].text
        pieces = [chunk async for chunk in caller.inference.StreamComplete(prompt, **caller.settings)]
        assert "".join(choice.text for piece in pieces for choice in piece.choices)
        texts = pb.EmbedRequest(route="embeddings", inputs=[pb.EmbedInput(text="cats"), pb.EmbedInput(text="dogs")])
        vectors = await caller.inference.Embed(texts, **caller.settings)
        assert [len(one.values.values) > 100 for one in vectors.embeddings] == [True, True]
        listed = await caller.routes.ListRoutes(routes_pb2.ListRoutesRequest(), **caller.settings)
        assert [route.name for route in listed.routes] == ["chat", "completions", "embeddings"]
        one = await caller.routes.GetRoute(routes_pb2.GetRouteRequest(name="chat"), **caller.settings)
        assert (one.route.task, one.route.model.provider) == (routes_pb2.TASK_CHAT, "local")


async def test_packed_vectors_are_the_same_numbers(caller: Caller) -> None:
    request = pb.EmbedRequest(route="embeddings", inputs=[pb.EmbedInput(text="cats")])
    plain = await caller.inference.Embed(request, **caller.settings)
    request.encoding = pb.EmbedRequest.ENCODING_BASE64
    packed = (await caller.inference.Embed(request, **caller.settings)).embeddings[0].packed
    assert list(struct.unpack(f"<{len(packed) // 4}f", packed)) == list(plain.embeddings[0].values.values)


async def test_a_3_mb_embeddings_answer_arrives_whole(caller: Caller, simulator: Provider) -> None:
    rows, numbers = 128, [index / 7 for index in range(1536)]
    body: dict[str, Any] = {"object": "list", "model": "sim", "usage": {"prompt_tokens": 1, "total_tokens": 1}}
    body["data"] = [{"object": "embedding", "index": index, "embedding": numbers} for index in range(rows)]
    reply = json_reply(body)
    assert isinstance(reply.parts[0], bytes)
    assert len(reply.parts[0]) > 3_000_000
    simulator.script = lambda call: reply
    inputs = [pb.EmbedInput(text=str(index)) for index in range(rows)]
    answer = await caller.inference.Embed(pb.EmbedRequest(route="embeddings", inputs=inputs), **caller.settings)
    assert [one.index for one in answer.embeddings] == list(range(rows))
    assert all(list(one.values.values) == numbers for one in answer.embeddings)


async def test_unknown_routes_and_wrong_requests_have_honest_codes(caller: Caller) -> None:
    unknown = await refused(caller.inference.Chat(chat(route="nowhere"), **caller.settings))
    assert unknown.code() is grpc.StatusCode.NOT_FOUND
    wrong = await refused(caller.inference.Chat(chat(route="embeddings"), **caller.settings))
    assert wrong.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_deadline_ends_the_call_and_the_providers_connection(caller: Caller, simulator: Provider) -> None:
    never = Reply(before=simulator.gate())
    simulator.script = lambda call: never
    late = await refused(caller.inference.Chat(chat(), metadata=caller.settings["metadata"], timeout=0.5))
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await simulator.until(lambda seen: seen.calls[-1].outcome == "peer_closed")


async def test_a_forged_identity_counts_nowhere(stack: Stack) -> None:
    """On the local gRPC port and socket everybody is `local`, at the front whoever the credential says."""
    forged = (("x-sidecar-user", "mallory"),)
    for entrance in ENTRANCES:
        who = stack.user if entrance == FRONT else "local"
        before = stack.metric("sidecar_requests_total", consumer=who, outcome="ok")
        async with stack.channel(entrance) as channel:
            caller = Caller(stack, entrance, channel)
            await caller.inference.Chat(chat(), metadata=(*stack.metadata(entrance), *forged), timeout=CALL_S)
        assert stack.metric("sidecar_requests_total", consumer=who, outcome="ok") == before + 1, entrance
    assert "mallory" not in stack.metrics_text()


@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
async def test_a_wrong_or_missing_password_is_unauthenticated(stack: Stack, scheme: str) -> None:
    right = base64.b64encode(f"{stack.user}:{stack.password}".encode()).decode()
    wrong = base64.b64encode(f"{stack.user}:wrong".encode()).decode()
    async with stack.channel(FRONT) as channel:
        service: Any = inference_pb2_grpc.InferenceServiceStub(channel)
        answer = await service.Chat(chat(), metadata=(("authorization", f"{scheme} {right}"),), timeout=CALL_S)
        assert answer.choices
        for metadata in ((("authorization", f"{scheme} {wrong}"),), ()):
            error = await refused(service.Chat(chat(), metadata=metadata, timeout=CALL_S))
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_is_serving_by_every_way(caller: Caller) -> None:
    health: Any = health_pb2_grpc.HealthStub(caller.channel)
    for service in ("", "sidecar.v1.InferenceService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service), **caller.settings)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_names_the_services_by_every_way(caller: Caller) -> None:
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [one async for one in reflection.ServerReflectionInfo(iter([request]), **caller.settings)]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {"sidecar.v1.InferenceService", "sidecar.v1.RouteService", "grpc.health.v1.Health"} <= names


async def test_a_stream_that_breaks_after_output_is_unavailable_and_not_a_success(
    caller: Caller, simulator: Provider
) -> None:
    request = chat("a b c d")
    request.extra_json = '{"sim": "after=3"}'
    call = caller.inference.StreamChat(request, **caller.settings)
    text = ""
    while (chunk := await _next(call)) is not None:
        text += "".join(choice.delta.content for choice in chunk.choices)
    assert text
    assert "echo: a".startswith(text), "what came together with the break may be lost, no more"
    assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def _next(call: Any) -> Any:
    """The next chunk; None at the end, a failed one too."""
    try:
        return await anext(aiter(call), None)
    except grpc.aio.AioRpcError:
        return None

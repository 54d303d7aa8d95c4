"""gRPC through the front: passed on as it is, refused in gRPC's words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.identity.users import api_key
from sidecar.v1 import inference_pb2, inference_pb2_grpc
from tests.front.conftest import Front
from tests.front.double import Core, Script

REQUEST = inference_pb2.ChatRequest()
TIMEOUT_S = 10


def _metadata(headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(headers.items())


async def _status(call: grpc.aio.UnaryUnaryCall[object, object]) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.details()
    return raised.value.code()


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
async def test_a_unary_call_is_answered_and_says_who_called(front: Front, core: Core, scheme: str) -> None:
    credentials = front.basic if scheme == "basic" else front.bearer
    forged = {"x-sidecar-user": "mallory", "x-sidecar-admin": "1", "x-team": "a_b"}
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        answer = await stub.Chat(REQUEST, metadata=_metadata({**credentials, **forged}), timeout=TIMEOUT_S)
    assert answer.id == "one"
    seen = core.call.metadata
    assert [value for name, value in seen if name == "x-sidecar-user"] == ["alice"]
    assert not {"authorization", "x-sidecar-admin"} & {name for name, _ in seen}
    assert ("x-team", "a_b") in seen
    assert core.call.transport == [b"local"]
    assert TIMEOUT_S - 2 < (core.call.time_left_s or 0) <= TIMEOUT_S


async def test_each_message_of_a_stream_arrives_before_the_next_is_sent(front: Front, core: Core) -> None:
    core.script = Script(pieces=[b"0", b"1", b"2", b"3"], gap_s=0.4)
    arrived: list[tuple[str, float]] = []
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        async for answer in stub.StreamChat(REQUEST, metadata=_metadata(front.basic), timeout=TIMEOUT_S):
            arrived.append((answer.id, time.monotonic()))
    assert [text for text, _ in arrived] == ["0", "1", "2", "3"]
    assert all(at - sent < 0.2 for (_, at), sent in zip(arrived, core.call.sent_s, strict=True))


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_every_status_of_the_core_passes_with_its_text(front: Front, core: Core, code: grpc.StatusCode) -> None:
    core.script = Script(abort=code, abort_text="why ä")
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.Chat(REQUEST, metadata=_metadata(front.basic), timeout=TIMEOUT_S)
    assert (raised.value.code(), raised.value.details()) == (code, "why ä")


async def test_a_failure_after_the_first_message_keeps_its_status(front: Front, core: Core) -> None:
    core.script = Script(pieces=[b"0"], abort=grpc.StatusCode.UNAVAILABLE, abort_text="half-way")
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            async for _ in stub.StreamChat(REQUEST, metadata=_metadata(front.basic), timeout=TIMEOUT_S):
                pass
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.UNAVAILABLE, "half-way")


async def test_a_deadline_ends_the_call_on_both_sides(front: Front, core: Core) -> None:
    core.script = Script(wait_s=30)
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        code = await _status(stub.Chat(REQUEST, metadata=_metadata(front.basic), timeout=0.3))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        await _until_cancelled(core, time.monotonic())


async def test_a_cancelled_call_is_cancelled_in_the_core(front: Front, core: Core) -> None:
    core.script = Script(wait_s=30)
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        call = stub.Chat(REQUEST, metadata=_metadata(front.basic), timeout=TIMEOUT_S)
        waiting = asyncio.ensure_future(call)
        await asyncio.wait_for(core.arrived.wait(), 5)
        left_s = time.monotonic()
        call.cancel()
        await _until_cancelled(core, left_s)
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def _until_cancelled(core: Core, since_s: float) -> None:
    while core.call.ended_s is None:
        assert time.monotonic() - since_s < 5
        await asyncio.sleep(0.005)
    assert core.call.cancelled
    assert core.call.ended_s - since_s < 1.0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Basic YWxpY2U6d3Jvbmc="},
        {"authorization": f"Bearer {api_key('alice', 'wrong')}"},
        {"x-sidecar-user": "alice"},
    ],
)
async def test_wrong_credentials_are_unauthenticated(front: Front, core: Core, headers: dict[str, str]) -> None:
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        code = await _status(stub.Chat(REQUEST, metadata=_metadata(headers), timeout=TIMEOUT_S))
        other = channel.unary_unary("/a.Unknown/Method", bytes, bytes)
        assert await _status(other(b"", metadata=_metadata(headers))) is grpc.StatusCode.UNAUTHENTICATED
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert core.calls == []


@pytest.mark.parametrize(
    "method",
    [
        "/a.Unknown/Method",
        "/sidecar.v1.InferenceService/Nothing",
        "/sidecar.v1.RestService/ListModels",
        "/NoPackage/Method",
    ],
)
async def test_an_unknown_method_is_unimplemented(front: Front, core: Core, method: str) -> None:
    async with front.channel() as channel:
        call = channel.unary_unary(method, bytes, bytes)
        code = await _status(call(b"", metadata=_metadata(front.basic), timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert core.calls == []


async def test_a_dead_core_is_unavailable(front: Front) -> None:
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        code = await _status(stub.Chat(REQUEST, metadata=_metadata(front.basic), timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.UNAVAILABLE


async def test_a_request_above_the_limit_is_an_invalid_argument(front: Front, core: Core) -> None:
    large = inference_pb2.ChatRequest(route="x" * (33 * 1024 * 1024))
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        code = await _status(stub.Chat(large, metadata=_metadata(front.basic), timeout=TIMEOUT_S))
        answer = await stub.Chat(REQUEST, metadata=_metadata(front.basic), timeout=TIMEOUT_S)
    assert (code, answer.id) == (grpc.StatusCode.INVALID_ARGUMENT, "one")


async def test_health_checks_pass(front: Front, core: Core) -> None:
    async with front.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), metadata=_metadata(front.basic), timeout=TIMEOUT_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING

"""gRPC's own interoperation cases that fit unary and server-streaming calls, by grpcio's two clients, on both transports.

Source of the cases: https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.processes import DEADLINE_S, POLL_S, reached
from tests.transport.service import DETAILS, ODD_TEXT, Serving

pytestmark = pytest.mark.slow
OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.use_local_subchannel_pool", 1),
]
same: Any = bytes


class Calls:
    """Both of grpcio's clients behind one form: a unary call, or all messages of a stream."""

    def __init__(self, target: str, aio: bool) -> None:
        self._aio = aio
        self._channel: Any = (grpc.aio if aio else grpc).insecure_channel(target, OPTIONS)

    async def unary(self, name: str, request: bytes = b"", **more: Any) -> bytes:
        call = self._channel.unary_unary(_path(name), same, same)
        if self._aio:
            answer: bytes = await call(request, **more)
            return answer
        return await asyncio.to_thread(call, request, **more)

    async def with_metadata(self, name: str, **more: Any) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
        call = self._channel.unary_unary(_path(name), same, same)
        if self._aio:
            running = call(b"", **more)
            return await running, dict(await running.initial_metadata()), dict(await running.trailing_metadata())
        answer, done = await asyncio.to_thread(call.with_call, b"", **more)
        return answer, dict(done.initial_metadata()), dict(done.trailing_metadata())

    async def stream(self, name: str, request: bytes = b"", **more: Any) -> list[bytes]:
        call = self._channel.unary_stream(_path(name), same, same)
        if self._aio:
            return [message async for message in call(request, **more)]
        return await asyncio.to_thread(lambda: list(call(request, **more)))

    async def refused(self, name: str, request: bytes = b"", **more: Any) -> Any:
        with pytest.raises(grpc.RpcError) as refused:
            await self.unary(name, request, **more)
        return refused.value

    async def close(self) -> None:
        closing = self._channel.close()
        if self._aio:
            await closing


async def live(unary: Callable[[str], Awaitable[bytes]], count: int) -> dict[str, int]:
    """Waits until so many handlers are in a call that waits or streams."""
    async with asyncio.timeout(DEADLINE_S):
        while (counts := json.loads(await unary("count")))["live"] != count:
            await asyncio.sleep(POLL_S)
    return dict(counts)


def _path(name: str) -> str:
    return name if name.startswith("/") else f"/test.Bytes/{name}"


@pytest.fixture(params=["sync", "aio"])
async def calls(target: str, request: pytest.FixtureRequest) -> AsyncIterator[Calls]:
    made = Calls(target, request.param == "aio")
    yield made
    await made.close()


async def test_empty_unary(calls: Calls) -> None:
    assert await calls.unary("echo") == b""


@pytest.mark.parametrize("size", [1, 16_379, 65_530, 271_828, 20 << 20])
async def test_large_unary(calls: Calls, size: int) -> None:
    assert await calls.unary("echo", bytes(size)) == bytes(size)


async def test_server_streaming(calls: Calls) -> None:
    sizes = [31_415, 9, 2_653, 58_979]
    got = await calls.stream("stream", (":" + " ".join(map(str, sizes))).encode())
    assert [len(message) for message in got] == sizes


async def test_a_stream_of_15_mb(calls: Calls) -> None:
    assert sum(map(len, await calls.stream("stream", b"50 300000"))) == 15_000_000


async def test_an_empty_stream(calls: Calls) -> None:
    assert await calls.stream("stream", b"0 0") == []


async def test_custom_metadata(calls: Calls) -> None:
    sent = [("x-initial", "test_initial_metadata_value"), ("x-trailing-bin", b"\xab\xab\xab")]
    _, initial, trailing = await calls.with_metadata("metadata", metadata=sent)
    assert initial["x-initial"] == "test_initial_metadata_value"
    assert trailing["x-trailing-bin"] == b"\xab\xab\xab"


async def test_sixty_headers(calls: Calls) -> None:
    answer = await calls.unary("metadata", metadata=[(f"x-h{number}", "v" * 40) for number in range(60)])
    assert sum(key.startswith("x-h") for key, _ in json.loads(answer)) == 60


async def test_special_status_message(calls: Calls) -> None:
    error = await calls.refused("refuse")
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == ODD_TEXT
    trailing: dict[str, Any] = dict(error.trailing_metadata() or ())
    assert trailing["grpc-status-details-bin"] == DETAILS
    assert trailing["x-more"] == "kept"


async def test_a_status_after_a_message(calls: Calls) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        await calls.stream("refuse_late")
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "too late")


async def test_unimplemented_method_and_service(calls: Calls) -> None:
    for path in ("/test.Bytes/unknown", "/test.Unknown/echo"):
        assert (await calls.refused(path)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_timeout_on_sleeping_server(calls: Calls) -> None:
    assert (await calls.refused("wait", timeout=0.1)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await live(calls.unary, 0)


async def test_the_server_knows_the_deadline(calls: Calls) -> None:
    assert await calls.unary("deadline") == b"null"
    assert 50 < json.loads(await calls.unary("deadline", timeout=60)) <= 61


async def test_client_compressed_unary(calls: Calls) -> None:
    data = bytes(300_000)
    assert await calls.unary("echo", data, compression=grpc.Compression.Gzip) == data


async def test_a_message_that_is_too_large(target: str) -> None:
    limit = 64 << 20
    async with grpc.aio.insecure_channel(target, [("grpc.max_send_message_length", -1)]) as channel:
        echo: Any = channel.unary_unary("/test.Bytes/echo", same, same)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await echo(bytes(limit + 1))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await echo(b"after it") == b"after it"


async def test_malformed_protobuf(calls: Calls) -> None:
    error = await calls.refused("/grpc.health.v1.Health/Check", b"\xff\xff")
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "HealthCheckRequest" in (error.details() or "")


async def test_cancel_before_and_after_the_first_message(target: str) -> None:
    calls = Calls(target, aio=True)
    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
        before = (await live(calls.unary, 0))["cancelled"]
        waiting: Any = channel.unary_unary("/test.Bytes/wait", same, same)(b"")
        stream: Any = channel.unary_stream("/test.Bytes/one_then_wait", same, same)(b"")
        assert await stream.read() == b"one"
        await live(calls.unary, 2)
        waiting.cancel()
        stream.cancel()
        assert (await live(calls.unary, 0))["cancelled"] == before + 2
    await calls.close()


async def test_a_thousand_calls_and_streams_at_once_on_one_connection(target: str) -> None:
    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
        stream: Callable[..., Any] = channel.unary_stream("/test.Bytes/turns", same, same)

        async def whole() -> int:
            return sum([len(message) async for message in stream(b"5 1000")])

        assert set(await asyncio.gather(*(whole() for _ in range(500)))) == {5000}
        echo: Callable[..., Any] = channel.unary_unary("/test.Bytes/echo", same, same)
        assert set(await asyncio.gather(*(echo(b"hi") for _ in range(500)))) == {b"hi"}


async def test_half_of_many_calls_cancelled_at_random(target: str) -> None:
    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
        wait: Callable[..., Any] = channel.unary_unary("/test.Bytes/wait", same, same)
        calls = [wait(b"") for _ in range(200)]
        for number, call in enumerate(calls):
            if number % 2:
                call.cancel()
            if number % 20 == 0:
                await asyncio.sleep(0)
        counts = Calls(target, aio=True)
        await live(counts.unary, 100)
        await counts.unary("let_go")
        await counts.close()
        assert set(await asyncio.gather(*calls[::2])) == {b"waited"}


async def test_a_reader_that_stalls_costs_the_server_little(native: Serving) -> None:
    """120 MB of a stream: what is written waits until there is room."""
    async with grpc.aio.insecure_channel(native.target, OPTIONS) as channel:
        stream: Any = channel.unary_stream("/test.Bytes/stream", same, same)(b"400 300000")
        await stream.read()
        (connection,) = native.server.connections
        await reached(lambda: bool(connection.blocked))
        size = 0
        while message := await stream.read():
            size += len(message)
        assert size == 399 * 300_000


async def test_health_check_and_watch(target: str) -> None:
    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Check(health_pb2.HealthCheckRequest(service="none"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="new"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        calls = Calls(target, aio=True)
        await calls.unary("set_health", b"=NOT_SERVING")
        await calls.unary("set_health", b"new=SERVING")
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await unknown.read()).status == health_pb2.HealthCheckResponse.SERVING
        await calls.unary("set_health", b"=SERVING")
        await calls.unary("set_health", b"new=SERVICE_UNKNOWN")
        await calls.close()


async def test_reflection_names_the_services_and_describes_them(target: str) -> None:
    def ask() -> tuple[set[str], list[str]]:
        with grpc.insecure_channel(target, OPTIONS) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            file = database.FindFileContainingSymbol("grpc.reflection.v1.ServerReflection")
            return set(database.get_services()), [service.name for service in file.service]

    services, described = await asyncio.to_thread(ask)
    assert {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"} <= services
    assert "grpc.reflection.v1alpha.ServerReflection" in services
    assert described == ["ServerReflection"]


async def test_reflection_v1_answers_each_request_as_it_comes(target: str) -> None:
    """grpcurl asks one thing, waits, and asks the next on the same call."""
    from grpc_reflection.v1alpha import reflection_pb2 as pb

    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        reflect: Any = channel.stream_stream(
            path, pb.ServerReflectionRequest.SerializeToString, pb.ServerReflectionResponse.FromString
        )
        call = reflect()
        for _ in range(3):
            await call.write(pb.ServerReflectionRequest(list_services="*"))
            assert (await call.read()).list_services_response.service
        await call.done_writing()
        assert not await call.read()

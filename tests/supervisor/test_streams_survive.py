"""Streams under way finish when the gateway is told to stop or its workers are replaced."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.cli.running import Running, config_for
from tests.processes import reached
from tests.provider import Provider
from tests.scale import scaled

pytestmark = pytest.mark.slow
STREAMS = scaled(50, minimum=10)


@pytest.fixture
def gateway(tmp_path: Path, provider: Provider) -> Iterator[Running]:
    """Its chat route says two words, waits at the gate "hold", and says the rest."""
    config = config_for(provider.base_url).replace("sim-chat", '"sim:tokens=6,gate=hold,gate_at=3"')
    with Running("up", tmp_path, config) as running:
        yield running


async def _rest(client: httpx.AsyncClient) -> str:
    """How a stream through Nginx ended: the last line it said, or what broke."""
    body = {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Say something."}]}
    last = ""
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                last = line or last
    except httpx.HTTPError as error:
        return repr(error)
    return last


async def _typed(channel: grpc.aio.Channel) -> str:
    """The same for a typed stream: why its choice finished, or the error."""
    request = pb.ChatRequest(route="chat", messages=[pb.Message(role=pb.ROLE_USER)])
    request.messages[0].content.add(text="Say something.")
    finished = "never"
    try:
        async for chunk in inference_pb2_grpc.InferenceServiceStub(channel).StreamChat(request):
            for choice in chunk.choices:
                if choice.finish_reason:
                    finished = pb.FinishReason.Name(choice.finish_reason)
    except grpc.aio.AioRpcError as error:
        return f"{error.code()}: {error.details()}"
    return finished


class _Streams:
    """STREAMS through Nginx and STREAMS over local gRPC, all held half-way by the provider."""

    def __init__(self, gateway: Running, provider: Provider) -> None:
        self._env = gateway.env
        self._gate = provider.gate("hold")
        self._tasks: list[asyncio.Task[str]] = []

    async def __aenter__(self) -> _Streams:
        trust = ssl.create_default_context(cafile=self._env["SIDECAR_CA"])
        headers = {"authorization": f"Bearer {self._env['SIDECAR_API_KEY']}"}
        limits = httpx.Limits(max_connections=None)
        self._client = httpx.AsyncClient(
            base_url=self._env["SIDECAR_URL"], verify=trust, headers=headers, timeout=30, limits=limits
        )
        self._channel = grpc.aio.insecure_channel(self._env["SIDECAR_GRPC_LOCAL"])
        self._tasks = [asyncio.create_task(_rest(self._client)) for _ in range(STREAMS)]
        self._tasks += [asyncio.create_task(_typed(self._channel)) for _ in range(STREAMS)]
        await reached(lambda: self._gate.waiting == 2 * STREAMS, 30, "all streams half-way")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gate.open()
        await asyncio.gather(*self._tasks)
        await self._client.aclose()
        await self._channel.close(None)

    async def finish(self) -> set[str]:
        """Lets the provider go on and says how they ended."""
        self._gate.open()
        return set(await asyncio.gather(*self._tasks))


_WHOLE = {"data: [DONE]", "FINISH_REASON_STOP"}


async def test_streams_outlive_the_workers_they_run_on(gateway: Running, provider: Provider) -> None:
    async with _Streams(gateway, provider) as streams:
        gateway.call("restart")
        await reached(lambda: "2 new workers are serving" in gateway.process.output, 20)
        assert await streams.finish() == _WHOLE
    assert (await asyncio.to_thread(gateway.process.stop)) == 0

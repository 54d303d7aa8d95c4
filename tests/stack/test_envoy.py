"""`sidecar up --front envoy`, end to end: what tests/front shows of Envoy alone holds for the whole gateway."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import openai
import pytest

from sidecar.identity.users import api_key
from sidecar.v1 import inference_pb2_grpc
from tests.cli.running import sidecar
from tests.processes import is_alive, reached
from tests.provider import Provider
from tests.scale import scaled
from tests.stack.load import OK, Callers, at_rate, chat_body, chat_request, lost
from tests.stack.stack import FRONT, Stack, config_for, route
from tests.supervisor.supervised import descendants

pytestmark = pytest.mark.slow
HELD = "sim:tokens=6,gate=hold,gate_at=3"
STREAMS = scaled(50, minimum=10)
RESTARTS = scaled(10, minimum=2)
PER_S = 10.0
# What is promised for a user that was added or removed.
USERS_S = 5.0
ORPHANS_S = 5.0
_REPLACED = "Rolling restart: 2 new workers are serving"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Stack]:
    """Two workers and Envoy over the simulator; `held` stops half-way at the gate "hold"."""
    held = route("held", "chat", simulator, model=HELD)
    with Stack(tmp_path_factory.mktemp("envoy"), config_for(simulator, held), front="envoy") as running:
        yield running


def _openai(gateway: Stack) -> openai.AsyncOpenAI:
    http = openai.DefaultAsyncHttpxClient(verify=gateway.trust())
    return openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, http_client=http, max_retries=0)


async def test_openais_sdk_chats_with_the_api_key(gateway: Stack) -> None:
    assert len(gateway.envoy_pids) == 1
    assert gateway.nginx_pids == []
    async with _openai(gateway) as client:
        answer = await client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "Hello."}])
        names = {model.id async for model in await client.models.list()}
    assert answer.choices[0].message.content
    assert {"chat", "held"} <= names


async def test_events_arrive_while_the_rest_of_the_stream_is_still_to_come(gateway: Stack, simulator: Provider) -> None:
    gate = simulator.gate("hold")
    async with _openai(gateway) as client:
        stream = await client.chat.completions.create(
            model="held", messages=[{"role": "user", "content": "Hello."}], stream=True
        )
        chunks = aiter(stream)
        first = [await asyncio.wait_for(anext(chunks), 30) for _ in range(2)]
        await reached(lambda: gate.waiting == 1, 30, "the stream half-way")
        gate.open()
        rest = [chunk async for chunk in chunks]
    assert any(chunk.choices[0].delta.content for chunk in first)
    assert rest[-1].choices[0].finish_reason == "stop"


async def test_grpc_passes_with_the_credential_and_not_without(gateway: Stack) -> None:
    async with gateway.channel(FRONT) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        answer = await stub.Chat(chat_request(), metadata=gateway.metadata(FRONT), timeout=30)
        wrong = (("authorization", f"Bearer {api_key(gateway.user, 'wrong')}"),)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Chat(chat_request(), metadata=wrong, timeout=30)
    assert answer.choices[0].message.content[0].text
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_users_come_and_go_within_five_seconds(gateway: Stack) -> None:
    added = sidecar("users", "add", "carol", "--state-dir", str(gateway.state))
    key = added.stdout.split()[-1]
    async with gateway.async_http(key=key) as carol, gateway.async_http() as first:

        async def status() -> int:
            return (await carol.get("/v1/models")).status_code

        assert await _within(USERS_S, status, 200)
        assert sidecar("users", "remove", "carol", "--state-dir", str(gateway.state)).returncode == 0
        assert await _within(USERS_S, status, 401)
        assert (await first.get("/v1/models")).status_code == 200


async def _within(limit_s: float, status: object, wanted: int) -> bool:
    end_s = time.monotonic() + limit_s
    while (seen := await status()) != wanted and time.monotonic() < end_s:  # type: ignore[operator]
        await asyncio.sleep(0.05)
    return bool(seen == wanted)


async def test_rolling_restarts_under_load_lose_none(gateway: Stack) -> None:
    entrances = ("rest", "rest_fresh", "rest_stream", "front", "front_stream")
    done = asyncio.Event()
    async with Callers(gateway.env) as callers:
        load = {
            entrance: asyncio.create_task(at_rate(getattr(callers, entrance), PER_S, done)) for entrance in entrances
        }
        before = gateway.process.output.count(_REPLACED)
        for count in range(1, RESTARTS + 1):
            gateway.process.send(signal.SIGUSR2)
            await reached(lambda count=count: gateway.process.output.count(_REPLACED) == before + count, 60)  # type: ignore[misc]
        await reached(lambda: len(gateway.worker_pids) == 2, 60, "the end of the old workers")
        done.set()
        counts = {entrance: await task for entrance, task in load.items()}
    print(f"\n{RESTARTS} rolling restarts: { ({entrance: dict(each) for entrance, each in counts.items()}) }")
    assert {entrance: lost(each) for entrance, each in counts.items() if lost(each)} == {}


async def test_an_envoy_that_dies_comes_back(gateway: Stack) -> None:
    [old] = gateway.envoy_pids
    os.kill(old, signal.SIGKILL)
    await reached(lambda: gateway.envoy_pids not in ([old], []), 30, "another Envoy")
    async with Callers(gateway.env) as callers:
        end_s = time.monotonic() + 30
        while (word := await callers.rest_fresh()) != OK:
            assert time.monotonic() < end_s, word
            await asyncio.sleep(0.1)


async def test_a_stop_lets_every_stream_finish(tmp_path: Path, provider: Provider) -> None:
    gate = provider.gate("hold")
    held = route("held", "chat", provider, model=HELD)
    with Stack(tmp_path, config_for(provider, held), front="envoy") as stack:
        processes = descendants(stack.process.pid)
        async with Callers(stack.env) as callers:
            streams = [callers.rest_stream(chat_body(model="held", stream=True)) for _ in range(STREAMS)]
            streams += [callers.front_stream(chat_request(route="held")) for _ in range(STREAMS)]
            calls = [asyncio.create_task(ask) for ask in streams]
            await reached(lambda: gate.waiting == 2 * STREAMS, 30, "all streams half-way")
            stack.process.send(signal.SIGTERM)
            await asyncio.to_thread(stack.process.wait_for_line, "SIGTERM: Stopping")
            gate.open()
            counts = Counter(await asyncio.gather(*calls))
        assert counts == {OK: 2 * STREAMS}
        assert await asyncio.to_thread(stack.process.wait, 60) == 0
        await reached(lambda: not any(map(is_alive, processes)), ORPHANS_S, "the end of all")


async def test_envoy_dies_with_its_supervisor(tmp_path: Path, provider: Provider) -> None:
    with Stack(tmp_path, config_for(provider), front="envoy") as stack:
        processes = descendants(stack.process.pid)
        os.kill(stack.process.pid, signal.SIGKILL)
        await reached(lambda: not any(map(is_alive, processes)), ORPHANS_S, f"the end of {processes}")

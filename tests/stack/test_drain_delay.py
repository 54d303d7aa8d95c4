"""The way out behind a load balancer: not ready but serving, then a drain; what is cut at its end says so."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.processes import reached
from tests.provider import Provider
from tests.stack.load import OK, Callers, chat_body, chat_request
from tests.stack.stack import Stack, config_for, route

pytestmark = pytest.mark.slow
# Long enough for a dozen calls on a busy machine.
DELAY_S = 5.0
GRACE_S = 0.5
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(params=["nginx", "envoy"])
def stack(request: pytest.FixtureRequest, tmp_path: Path, provider: Provider) -> Iterator[Stack]:
    """`held` says two words and waits at a gate that no test opens."""
    held = route("held", "chat", provider, model="sim:tokens=6,gate=hold,gate_at=3")
    options = ("--drain-delay", f"{DELAY_S:g}", "--drain-grace", f"{GRACE_S:g}", "--access-log", "json")
    with Stack(tmp_path, config_for(provider, held), front=request.param, options=options) as running:
        yield running


async def _health(callers: Callers, *, front: bool = False) -> int:
    channel = callers.front_channel if front else callers.local_channel
    stub = health_pb2_grpc.HealthStub(channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(), metadata=callers.metadata if front else None)
    return int(answer.status)


async def _kubelets(stack: Stack) -> int:
    """What a probe of the core hears, where there may be no front: it asks beside the metrics."""
    async with httpx.AsyncClient(trust_env=False) as http:
        url = httpx.URL(stack.env["SIDECAR_METRICS"]).join("/health")
        return (await http.get(url)).status_code


async def test_a_balancer_has_its_time_to_notice_and_streams_that_are_cut_say_so(
    stack: Stack, provider: Provider
) -> None:
    async with Callers(stack.env) as callers, stack.async_http(key=None) as balancer:
        assert (await balancer.get("/health")).status_code == 200
        assert await _kubelets(stack) == 200
        assert await _health(callers) == await _health(callers, front=True) == SERVING
        by_rest = asyncio.create_task(callers.rest_stream(chat_body(model="held", stream=True)))
        by_grpc = asyncio.create_task(callers.local_stream(chat_request(route="held")))
        await reached(lambda: provider.gate("hold").waiting == 2, 30, "both streams half-way")

        stack.process.send(signal.SIGTERM)
        await asyncio.to_thread(
            stack.process.wait_for_line, f"SIGTERM: Stopping in {DELAY_S:g} s; serving until then, but not ready"
        )
        while (not_ready := await balancer.get("/health")).status_code == 200:
            await asyncio.sleep(0)  # both workers hear of it within milliseconds
        assert not_ready.status_code == 503
        assert not_ready.json()["error"]["code"] == "drained"
        assert await _kubelets(stack) == 503
        words = [
            await ask() for ask in (callers.rest, callers.rest_fresh, callers.front, callers.local) for _ in range(2)
        ]
        health = {await _health(callers), await _health(callers, front=True)}
        assert "Stopping now" not in stack.process.output, "the machine was too slow to show anything"
        assert words == [OK] * 8
        assert health == {NOT_SERVING}

        ends = await asyncio.gather(by_rest, by_grpc)
        assert await asyncio.to_thread(stack.process.wait, 30) == 0
    assert '"code":"drained"' in ends[0], ends
    assert ends[1].startswith("UNAVAILABLE"), ends
    outcomes = [line["outcome"] for line in _calls(stack) if line["route"] == "held"]
    assert outcomes == ["drained", "drained"]


def _calls(stack: Stack) -> list[dict[str, str]]:
    found = [json.loads(line) for line in stack.process.output.splitlines() if line.startswith("{")]
    return [line for line in found if line["message"] == "call"]


async def test_a_second_signal_ends_the_delay(tmp_path: Path, provider: Provider) -> None:
    with Stack(tmp_path, config_for(provider), options=("--drain-delay", "600")) as stack:
        stack.process.send(signal.SIGTERM)
        await asyncio.to_thread(stack.process.wait_for_line, "SIGTERM: Stopping in 600 s")
        stack.process.send(signal.SIGTERM)
        assert await asyncio.to_thread(stack.process.wait, 30) == 128 + signal.SIGTERM

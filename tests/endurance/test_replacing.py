"""Workers that are replaced again and again under load cost no call, and a stop no stream: behind both fronts at once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.endurance.totals import read_lines
from tests.processes import reached
from tests.provider import Provider
from tests.scale import SCALE
from tests.stack.load import OK, Callers, Counts, at_rate, chat_body, chat_request, lost
from tests.stack.seen import page_where
from tests.stack.stack import Stack, config_for, route
from tests.supervisor.supervised import all_gone, descendants

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
FRONTS = ("nginx", "envoy")
# A few in CI, where tests/stack replaces workers too.
RESTARTS = 100 if SCALE >= 1 else 2
STOPS = 20 if SCALE >= 1 else 2
STREAMS = 50
# In all, at each front.
PER_S = 50.0
ENTRANCES = ("rest", "rest_fresh", "rest_stream", "local", "front", "local_stream", "front_stream")
_REPLACED = "Rolling restart: 2 new workers are serving"
_RESTART_S, _STOP_S = 120.0, 90.0


@asynccontextmanager
async def _both(folder: Path, provider: Provider) -> AsyncIterator[list[Stack]]:
    """A gateway behind each front. Calls of `chat` take a while, as models do; `held` stops half-way at a gate of its own."""
    with ExitStack() as stack:
        found = []
        for front in FRONTS:
            own = folder / front
            own.mkdir(parents=True)
            held = route("held", "chat", provider, model=f"sim:tokens=6,gate={_gate(own)},gate_at=3")
            config = config_for(provider, held).replace("sim-chat", "sim:head_ms=300")
            found.append(stack.enter_context(Stack(own, config, front=front, options=("--access-log", "json"))))
        yield found


def _gate(folder: Path) -> str:
    return f"{folder.parent.name}-{folder.name}"


async def test_rolling_restarts_at_50_requests_a_second_lose_and_refuse_none(
    tmp_path: Path, provider: Provider
) -> None:
    async with _both(tmp_path, provider) as stacks:
        counts = dict(zip(FRONTS, await asyncio.gather(*map(_restart_under_load, stacks)), strict=True))
        for stack in stacks:
            total = sum(each.total() for each in counts[stack.front].values())
            now = await page_where(stack.env, lambda now, total=total: now.total("sidecar_requests_total") >= total)  # type: ignore[misc]
            assert now.by("sidecar_requests_total", "outcome") == {OK: total}
            assert now.total("sidecar_worker_restarts_total") == 0
            assert await asyncio.to_thread(stack.stop) == 0
            assert len(read_lines(stack.process.output)) == total, "a line a call, over all generations of workers"
            assert "Traceback" not in stack.log


async def _restart_under_load(stack: Stack) -> dict[str, Counts]:
    done, began_s = asyncio.Event(), time.monotonic()
    async with Callers(stack.env) as callers:
        load = {
            entrance: asyncio.create_task(at_rate(getattr(callers, entrance), PER_S / len(ENTRANCES), done))
            for entrance in ENTRANCES
        }
        for count in range(1, RESTARTS + 1):
            stack.process.send(signal.SIGUSR2)
            await reached(lambda count=count: stack.process.output.count(_REPLACED) == count, _RESTART_S)  # type: ignore[misc]
        await reached(lambda: len(stack.worker_pids) == 2, _RESTART_S, "the end of the old workers")
        done.set()
        counts = {entrance: await task for entrance, task in load.items()}
    total = sum(each.total() for each in counts.values())
    bad = {entrance: lost(each) for entrance, each in counts.items() if lost(each)}
    took_s = time.monotonic() - began_s
    print(f"\n{stack.front}: {RESTARTS} rolling restarts in {took_s:.0f} s, {total} calls, lost or refused: {bad}")
    assert bad == {}
    assert total >= PER_S / 5 * took_s, "less load than there should have been"
    return counts


async def test_fifty_of_fifty_streams_survive_a_stop_each_time(tmp_path: Path, provider: Provider) -> None:
    for number in range(STOPS):
        async with _both(tmp_path / str(number), provider) as stacks:
            counts = await asyncio.gather(*(_stop_with_streams(stack, provider) for stack in stacks))
        assert [dict(each) for each in counts] == [{OK: STREAMS}] * len(FRONTS), f"stop {number + 1}"
    print(f"\n{STOPS} stops behind each of {FRONTS}: {STREAMS} of {STREAMS} streams each time")


async def _stop_with_streams(stack: Stack, provider: Provider) -> Counts:
    """Half of the streams by REST, the others by gRPC through the front and locally; they go on once the stop has begun."""
    gate = provider.gate(_gate(stack.config.parent))
    processes = descendants(stack.process.pid)
    async with Callers(stack.env) as callers:
        body, request = chat_body(model="held", stream=True), chat_request(route="held")
        asks = [callers.rest_stream(body) for _ in range(STREAMS // 2)]
        asks += [callers.front_stream(request) for _ in range(STREAMS // 4)]
        asks += [callers.local_stream(request) for _ in range(STREAMS - len(asks))]
        calls = [asyncio.create_task(ask) for ask in asks]
        await page_where(stack.env, lambda now: now.total("sidecar_in_flight") == STREAMS, 30)
        await reached(lambda: gate.waiting == STREAMS, 30, "all streams half-way")
        stack.process.send(signal.SIGTERM)
        await asyncio.to_thread(stack.process.wait_for_line, "SIGTERM: Stopping")
        gate.open()
        counts: Counts = Counter(await asyncio.gather(*calls))
    assert await asyncio.to_thread(stack.process.wait, _STOP_S) == 0
    await asyncio.to_thread(all_gone, processes, 10)
    return counts

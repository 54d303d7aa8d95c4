"""A worker that is killed costs its own calls only; workers that are replaced cost none."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sidecar.telemetry.metric_memory import read
from tests.cli.running import config_for
from tests.processes import command_line, reached
from tests.provider import Provider
from tests.scale import scaled
from tests.stack.load import OK, Callers, Counts, at_rate, chat_body, chat_request, lost
from tests.stack.seen import Page, Watch, page, page_where
from tests.stack.stack import Stack, counts_of
from tests.supervisor.supervised import descendants

pytestmark = pytest.mark.slow
IN_FLIGHT = 32
BACK_S = 10.0  # 1 to 1.5 s on an idle box, 2.3 with six others at work on it
# One more in the same place within ten seconds is a crash loop, in which the supervisor takes its time.
KILLS = scaled(6, minimum=2)
RESTARTS = scaled(10, minimum=3)
PER_S = 50.0
# Several: a channel lives on one worker.
_CHANNELS = 8
_REPLACED = "2 new workers are serving"


@pytest.fixture
def gateway(request: pytest.FixtureRequest, tmp_path: Path, provider: Provider) -> Iterator[Stack]:
    """`chat` takes a while, as models do: calls are under way all the time and the box is not busy. `held` waits at "hold"."""
    config = config_for(provider.base_url).replace("sim-chat", '"sim:head_ms=300"')
    with Stack(
        tmp_path,
        config + another_route("held", "sim:gate=hold,gate_at=-1", provider.base_url),
        front=getattr(request, "param", "nginx"),
    ) as running:
        yield running


def another_route(name: str, model: str, base_url: str) -> str:
    return (
        f"  - name: {name}\n    route_type: llm/v1/chat\n"
        f'    model: {{provider: openai-compatible, name: "{model}", config: {{base_url: {base_url}}}}}\n'
    )


def worker_at(gateway: Stack, position: int) -> int:
    """Pid of who serves there."""
    target = os.readlink(gateway.state / "run" / f"w{position}.sock")
    return int(target.removesuffix(".sock").rpartition("-")[2])


def in_flight_at(gateway: Stack, position: int) -> float:
    """Calls under way on one worker, by the memory that it counts in."""
    fd = counts_of(worker_at(gateway, position))
    try:
        return sum(series.value for series in read(fd)[0] if series.name == "sidecar_in_flight")
    finally:
        os.close(fd)


async def _back(gateway: Stack, position: int, old: int, since_s: float) -> float:
    """Seconds until another worker serves there and two are up."""
    await reached(lambda: worker_at(gateway, position) != old, 10, "a new worker")
    await page_where(gateway.env, lambda now: now.total("sidecar_workers_up") == 2)
    return time.monotonic() - since_s


def _idle(now: Page) -> bool:
    return now.total("sidecar_in_flight") == 0


@pytest.mark.parametrize("gateway", ["nginx", "envoy"], indirect=True)
async def test_a_killed_worker_costs_exactly_the_calls_it_had_and_is_back_soon(
    gateway: Stack, provider: Provider
) -> None:
    gate = provider.gate("hold")
    async with AsyncExitStack() as stack, Watch(gateway.env) as watch:
        several = [await stack.enter_async_context(Callers(gateway.env)) for _ in range(_CHANNELS)]
        body, request = chat_body(model="held", stream=True), chat_request(route="held")
        calls: list[asyncio.Task[str]] = []
        for number in range(IN_FLIGHT // 4):
            callers = several[number % _CHANNELS]
            asks = (callers.rest_stream(body), callers.rest_stream(body), callers.local_stream(request))
            calls += [asyncio.create_task(ask) for ask in (*asks, callers.front_stream(request))]
        await reached(lambda: gate.waiting == IN_FLIGHT, 20, "all calls at the provider")
        mine, others = in_flight_at(gateway, 0), in_flight_at(gateway, 1)
        assert mine + others == IN_FLIGHT
        assert mine, "no call is on the worker to be killed"
        old, killed_s = worker_at(gateway, 0), time.monotonic()
        os.kill(old, signal.SIGKILL)
        back_s = await _back(gateway, 0, old, killed_s)
        gate.open()
        counts = Counter(await asyncio.gather(*calls))
        print(f"\n{mine:.0f} of {IN_FLIGHT} calls on the killed worker; {dict(counts)}; back after {back_s:.2f} s")
        assert lost(counts).total() == mine
        assert counts[OK] == others
        assert back_s < BACK_S
        now = await page_where(gateway.env, _idle)
        assert now.total("sidecar_worker_restarts_total") == 1
        await reached(lambda: watch.pages > 10, 20, "metrics pages before and after")
    assert not watch.faults


async def test_kills_under_load_fail_nothing_that_began_after_them(gateway: Stack) -> None:
    begun: dict[str, list[tuple[float, str]]] = {"rest": [], "local": [], "front": [], "local_stream": []}
    done = asyncio.Event()
    gone: list[tuple[float, float]] = []
    back_s: list[float] = []

    async def caller(entrance: str, callers: Callers) -> None:
        while not done.is_set():
            at_s = time.monotonic()
            begun[entrance].append((at_s, await getattr(callers, entrance)()))

    async with AsyncExitStack() as stack, Watch(gateway.env) as watch:
        several = [await stack.enter_async_context(Callers(gateway.env)) for _ in range(_CHANNELS)]
        load = [asyncio.create_task(caller(entrance, callers)) for callers in several for entrance in begun]
        assert len(load) == IN_FLIGHT
        for number in range(KILLS):
            count = sum(map(len, begun.values()))
            await reached(lambda count=count: sum(map(len, begun.values())) > count + IN_FLIGHT)  # type: ignore[misc]
            old, killed_s = worker_at(gateway, number % 2), time.monotonic()
            os.kill(old, signal.SIGKILL)
            # A process has ended, and its sockets are closed, when its parent says so: its first thread is a zombie before.
            died = f"(pid {old}) died"
            await reached(lambda died=died: died in gateway.process.output, 5)  # type: ignore[misc]
            gone.append((killed_s, time.monotonic()))
            back_s.append(await _back(gateway, number % 2, old, killed_s))
        done.set()
        await asyncio.gather(*load)
        counts: Counts = Counter(word for entrances in begun.values() for _, word in entrances)
        failed = [
            (at_s, entrance, word) for entrance, entrances in begun.items() for at_s, word in entrances if word != OK
        ]
        print(f"\n{KILLS} kills: {dict(counts)}, {watch.pages} metrics pages, back after {max(back_s):.2f} s at most")
        assert max(back_s) < BACK_S
        assert len(failed) <= KILLS * IN_FLIGHT
        # One that had ended before the first kill, or began when the worker was gone, has no excuse.
        for at_s, entrance, word in failed:
            assert any(killed_s - 1.0 < at_s < gone_s for killed_s, gone_s in gone), (at_s, entrance, word, gone)
        await page_where(gateway.env, _idle)
    assert not watch.faults


async def test_rolling_restarts_at_50_requests_a_second_lose_none(gateway: Stack) -> None:
    entrances = ("rest", "rest_fresh", "local", "front", "local_stream")
    done = asyncio.Event()
    async with Callers(gateway.env) as callers, Watch(gateway.env) as watch:
        load = {
            entrance: asyncio.create_task(at_rate(getattr(callers, entrance), PER_S, done)) for entrance in entrances
        }
        for count in range(1, RESTARTS + 1):
            gateway.process.send(signal.SIGUSR2)
            await reached(lambda count=count: gateway.process.output.count(_REPLACED) == count, 40)  # type: ignore[misc]
        await reached(lambda: _workers(gateway) == 2, 40, "the end of the old workers")
        done.set()
        counts = {entrance: await task for entrance, task in load.items()}
    print(f"\n{RESTARTS} rolling restarts: { ({entrance: dict(each) for entrance, each in counts.items()}) }")
    assert {entrance: lost(each) for entrance, each in counts.items() if lost(each)} == {}
    calls_made, now = sum(each.total() for each in counts.values()), await page(gateway.env)
    assert now.total("sidecar_requests_total", outcome="ok") == calls_made
    assert now.total("sidecar_worker_restarts_total") == 0
    assert not watch.faults


def _workers(gateway: Stack) -> int:
    return sum("sidecar.worker" in command_line(pid) for pid in descendants(gateway.process.pid))


def test_the_watch_sees_a_counter_that_goes_down_a_double_sample_and_a_broken_page() -> None:
    watch = Watch({})
    head = "# TYPE a_total counter\na_total"
    watch.look(Page(f"{head} 2\n"))
    watch.look(Page(f"{head} 3\n"))
    assert not watch.faults
    watch.look(Page(f"{head} 2\n"))
    assert len(watch.faults) == 1
    watch.look(Page("# TYPE b_total counter\nb_total 1\n"))
    assert len(watch.faults) == 2
    for text in ("", f"{head} 1\na_total 1\n", f"{head} x\n"):
        with pytest.raises(ValueError):  # noqa: PT011 - the parser's own words
            Page(text)

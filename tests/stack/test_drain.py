"""The way out: streams under way finish, new calls are refused, nothing stays behind."""

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

from tests.processes import accepts, is_alive, reached
from tests.provider import Gate, Provider
from tests.scale import scaled
from tests.stack.load import OK, Callers, Counts, chat_body, chat_request, lost
from tests.stack.seen import page
from tests.stack.stack import Stack, config_for, route
from tests.supervisor.supervised import all_gone, descendants

pytestmark = pytest.mark.slow
STREAMS = scaled(50, minimum=20)
AT_ONCE_S = 3.0
# What the issue allows after a SIGKILL of the supervisor.
ORPHANS_S = 5.0


@pytest.fixture
def stack(tmp_path: Path, provider: Provider) -> Iterator[Stack]:
    """`held` says two words, waits at the gate "hold", and says the rest."""
    held = route("held", "chat", provider, model="sim:tokens=6,gate=hold,gate_at=3")
    with Stack(tmp_path, config_for(provider, held)) as running:
        yield running


class Streams:
    """STREAMS through Nginx and STREAMS over local gRPC, held half-way. `ended()` lets them go on and says how they ended."""

    def __init__(self, stack: Stack, gate: Gate) -> None:
        self._stack = stack
        self._gate = gate

    async def __aenter__(self) -> Streams:
        self._exit = AsyncExitStack()
        self.callers = await self._exit.enter_async_context(Callers(self._stack.env))
        body, request = chat_body(model="held", stream=True), chat_request(route="held")
        through = [asyncio.create_task(self.callers.rest_stream(body)) for _ in range(STREAMS)]
        self._tasks = through + [asyncio.create_task(self.callers.local_stream(request)) for _ in range(STREAMS)]
        await reached(lambda: self._gate.waiting == 2 * STREAMS, 30, "all streams half-way")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ended()
        await self._exit.aclose()

    async def ended(self) -> Counts:
        self._gate.open()
        return Counter(await asyncio.gather(*self._tasks))


async def _refused(callers: Callers) -> dict[str, str]:
    """What new calls hear, once the workers are at it: a call that just meets gRPC's shutdown is cancelled."""
    words: dict[str, str] = {}
    for entrance in ("rest", "rest_fresh", "local", "front"):
        end_s = time.monotonic() + 5
        while (word := await getattr(callers, entrance)()).startswith((OK, "CANCELLED")):
            assert time.monotonic() < end_s, f"{entrance} is still served"
        words[entrance] = word
    return words


def _ports(stack: Stack) -> list[int]:
    return [
        stack.port,
        int(stack.grpc_local.rpartition(":")[2]),
        int(stack.env["SIDECAR_METRICS"].split(":")[2].split("/")[0]),
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_lets_every_stream_finish_and_refuses_new_calls(
    stack: Stack, provider: Provider, number: signal.Signals
) -> None:
    processes = descendants(stack.process.pid)
    assert len(processes) >= 4, "two workers and Nginx's two"
    ports = _ports(stack)
    async with Streams(stack, provider.gate("hold")) as streams:
        assert (await page(stack.env)).total("sidecar_in_flight") == 2 * STREAMS
        if number is signal.SIGINT:
            stack.process.interrupt()  # to the whole process group, as a terminal does it
        else:
            stack.process.send(number)
        await asyncio.to_thread(stack.process.wait_for_line, f"{number.name}: Stopping")
        refused = await _refused(streams.callers)
        assert stack.process.exit_code is None
        counts = await streams.ended()
    print(f"\n{number.name} with {2 * STREAMS} streams: {dict(counts)}; new calls meanwhile: {refused}")
    assert counts == {OK: 2 * STREAMS}
    assert all(word.startswith("HTTP 503") for entrance, word in refused.items() if entrance.startswith("rest")), (
        refused
    )
    assert all(
        word.startswith("UNAVAILABLE") for entrance, word in refused.items() if not entrance.startswith("rest")
    ), refused
    assert await asyncio.to_thread(stack.process.wait, 30) == 0
    all_gone(processes, 10)
    assert not any(map(accepts, ports))
    assert not (stack.state / "run").exists()
    assert "Traceback" not in stack.log


async def test_a_second_ctrl_c_ends_at_once(stack: Stack, provider: Provider) -> None:
    processes = descendants(stack.process.pid)
    async with Streams(stack, provider.gate("hold")) as streams:
        stack.process.interrupt()
        await asyncio.to_thread(stack.process.wait_for_line, "SIGINT: Stopping. Calls")
        await reached(lambda: stack.process.exit_code is None)
        began_s = time.monotonic()
        stack.process.interrupt()
        code = await asyncio.to_thread(stack.process.wait, AT_ONCE_S)
        took_s = time.monotonic() - began_s
        counts = await streams.ended()
    print(f"\nsecond Ctrl-C: exit code {code} after {took_s:.2f} s; {2 * STREAMS} streams: {dict(counts)}")
    assert code == 128 + signal.SIGINT
    assert lost(counts).total() == 2 * STREAMS, "a cut stream must not look whole"
    all_gone(processes, 10)
    assert not (stack.state / "run").exists()


async def test_nothing_outlives_a_killed_supervisor_by_five_seconds(stack: Stack, provider: Provider) -> None:
    processes = descendants(stack.process.pid)
    async with Streams(stack, provider.gate("hold")) as streams:
        killed_s = time.monotonic()
        os.kill(stack.process.pid, signal.SIGKILL)
        await reached(lambda: not any(map(is_alive, processes)), ORPHANS_S, f"the end of {processes}")
        took_s = time.monotonic() - killed_s
        counts = await streams.ended()
    print(f"\nSIGKILL of the supervisor: {len(processes)} processes gone after {took_s:.2f} s; {dict(counts)}")
    assert lost(counts).total() == 2 * STREAMS


async def test_a_stop_with_nobody_there_is_quick(stack: Stack) -> None:
    began_s = time.monotonic()
    assert await asyncio.to_thread(stack.stop) == 0
    took_s = time.monotonic() - began_s
    print(f"\nan idle stop took {took_s:.2f} s")
    assert took_s < AT_ONCE_S

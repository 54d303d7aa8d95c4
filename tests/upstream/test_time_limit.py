"""Time in which this worker was busy is not the provider's: not while it connects, answers, or goes on with a stream."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Breaker, Snapshot, Timeouts
from sidecar.gateway.breaker import State
from sidecar.upstream.time_limit import TimeLimit
from tests.gateway.in_process import Core, openai, to
from tests.provider import Provider, Reply
from tests.provider.reply import Framing
from tests.upstream.raw import never, raw_server

LIMIT_S = 0.6
HELD_S = 1.5 * LIMIT_S
TIMEOUTS = Timeouts(connect_s=LIMIT_S, first_output_s=LIMIT_S, idle_s=LIMIT_S, total_s=LIMIT_S)


def hold() -> None:
    """As JSON of 31 MB does."""
    time.sleep(HELD_S)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("turns", [1, 20])
async def test_an_answer_that_came_while_the_loop_was_held_is_served(
    provider: Provider, streamed: bool, turns: int
) -> None:
    """The loop is held before the request goes out, or when its answer lies in the kernel."""
    upstream = openai(provider)
    async with Core(to(upstream, timeouts=TIMEOUTS, breaker=Breaker(consecutive_failures=1))) as core:
        await core.ask(streamed)
        call = asyncio.create_task(core.ask(streamed))
        for _ in range(turns):
            await asyncio.sleep(0)
        hold()
        assert await call == "openai"
        health = core.gateway.upstreams.health_of(upstream, Breaker(consecutive_failures=1))
        assert health is not None
        assert health.circuit.state is State.CLOSED
    assert len(provider.calls) == 2


async def test_a_stream_that_went_on_while_the_loop_was_held_is_served(provider: Provider) -> None:
    gate = provider.gate()
    events = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % number for number in range(2)]
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    parts = (events[0], gate, events[1], end)
    headers = (("content-type", "text/event-stream"),)
    provider.script = lambda call: Reply(headers=headers, parts=parts, framing=Framing.CHUNKED)
    async with Core(to(openai(provider), timeouts=replace(TIMEOUTS, total_s=60.0))) as core:
        texts = []
        async for piece in core.pieces(core.call(stream=True)):
            texts += [choice.delta.content for chunk in piece or () for choice in chunk.choices]
            if texts == ["0"]:
                gate.open()
                hold()
        assert "".join(texts) == "01"


async def test_a_provider_that_is_late_is_late_all_the_same(provider: Provider) -> None:
    """A hold moves the end by its own length only."""
    async with raw_server(never) as server:
        upstream = openai(provider, base_url=f"http://127.0.0.1:{server.port}/v1")
        await _is_late(to(upstream, timeouts=TIMEOUTS))


async def _is_late(snapshot: Snapshot) -> None:
    async with Core(snapshot) as core:
        began_s = time.monotonic()
        call = asyncio.create_task(core.ask(False))
        await asyncio.sleep(0)
        hold()
        with pytest.raises(GatewayError) as caught:
            await call
        assert caught.value.kind is Kind.UPSTREAM_TIMEOUT
        assert HELD_S + LIMIT_S / 2 < time.monotonic() - began_s < 10 * (HELD_S + LIMIT_S)


async def test_a_limit_ends_what_it_holds_and_nothing_else() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        await _waits(0.05)
    async with TimeLimit(loop.time() + 60):
        pass
    with pytest.raises(TimeoutError):
        await _waits(60, then_s=0.05)
    with pytest.raises(ValueError, match="own"):
        async with TimeLimit(loop.time() + 60):
            raise ValueError("own")


async def test_a_limit_that_moves_on_does_not_end_before() -> None:
    loop = asyncio.get_running_loop()
    async with TimeLimit(loop.time() + 0.1) as limit:
        for _ in range(5):
            limit.move(loop.time() + 60)
            await asyncio.sleep(0.06)


async def _waits(limit_s: float, then_s: float | None = None) -> None:
    loop = asyncio.get_running_loop()
    async with TimeLimit(loop.time() + limit_s) as limit:
        if then_s is not None:
            limit.move(loop.time() + then_s)
        await asyncio.Event().wait()


async def test_a_cancellation_from_outside_stays_one() -> None:
    task = asyncio.create_task(_waits(60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

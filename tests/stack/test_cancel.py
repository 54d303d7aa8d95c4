"""Whoever leaves a call frees the provider's connection at once, whichever way he came and whenever he goes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from tests.cli.running import config_for
from tests.processes import reached
from tests.provider import Provider
from tests.stack.leaving import RawRest, TypedCall
from tests.stack.load import Callers, chat_body, chat_request
from tests.stack.seen import Page, page, page_where
from tests.stack.stack import Stack
from tests.stack.test_workers import another_route

pytestmark = pytest.mark.slow
CLOSED_S = 0.25
TIMES = 20
# Nothing is under way: a stop need not wait for anybody.
_STOP_S = 3.0
ENTRANCES = ("rest_1", "rest_2_reset", "rest_2_close", "local", "front")
MOMENTS = ("unary", "stream_before", "stream_within")


@pytest.fixture
def gateway(request: pytest.FixtureRequest, tmp_path: Path, provider: Provider) -> Iterator[Stack]:
    """`silent` never answers; `half` says two words and holds."""
    routes = another_route("silent", "sim:gate=hold,gate_at=-1", provider.base_url)
    routes += another_route("half", "sim:tokens=6,gate=hold,gate_at=3", provider.base_url)
    front = getattr(request, "param", "nginx")
    with Stack(tmp_path, config_for(provider.base_url) + routes, front=front) as running:
        yield running


async def _call(entrance: str, moment: str, callers: Callers, env: dict[str, str]) -> RawRest | TypedCall:
    route, stream = ("half" if moment == "stream_within" else "silent"), moment != "unary"
    if entrance.startswith("rest"):
        rest = RawRest(env, version=int(entrance[5]), reset=entrance.endswith("reset"))
        await rest.ask(chat_body(model=route, stream=stream))
        return rest
    typed = TypedCall(callers.by_local, None) if entrance == "local" else TypedCall(callers.by_front, callers.metadata)
    await typed.ask(chat_request(route=route), stream=stream)
    return typed


async def _leave_once(entrance: str, moment: str, callers: Callers, gateway: Stack, provider: Provider) -> float:
    """Seconds from leaving to the close of the provider's socket."""
    number = len(provider.calls)
    left = await _call(entrance, moment, callers, gateway.env)
    try:
        await reached(lambda: len(provider.calls) > number, 10, "the call at the provider")
        if moment == "stream_within":
            await left.first_event()
        left_s = time.monotonic()
        await left.leave()
        call = provider.calls[number]
        await reached(
            lambda: call.peer_closed_s is not None, 5, f"{entrance} {moment}: the close of the provider's socket"
        )
        assert call.peer_closed_s is not None
        return call.peer_closed_s - left_s
    finally:
        await left.close()


@pytest.mark.parametrize("gateway", ["nginx", "envoy"], indirect=True)
async def test_a_caller_that_leaves_closes_the_providers_socket_within_250_ms_and_counts_as_cancelled(
    gateway: Stack, provider: Provider
) -> None:
    took: dict[tuple[str, str], list[float]] = {}
    async with Callers(gateway.env) as callers:
        for entrance in ENTRANCES:
            for moment in MOMENTS:
                took[entrance, moment] = [
                    await _leave_once(entrance, moment, callers, gateway, provider) for _ in range(TIMES)
                ]
    count = len(ENTRANCES) * len(MOMENTS) * TIMES
    print(f"\n{count} calls left:")
    for (entrance, moment), each_s in took.items():
        print(f"  {entrance:13} {moment:13} slowest {max(each_s) * 1000:6.1f} ms of {len(each_s)}")
    assert {key: max(each_s) for key, each_s in took.items() if max(each_s) >= CLOSED_S} == {}

    now = await page_where(gateway.env, lambda now: now.total("sidecar_requests_total") >= count)
    assert now.by("sidecar_requests_total", "outcome") == {"cancelled": count}
    assert now.by("sidecar_upstream_requests_total", "outcome") == {"cancelled": count}
    assert now.total("sidecar_in_flight") == 0
    assert provider.open_connections == []
    assert len(provider.calls) == count, "nobody asked twice for a caller that had left"
    began_s = time.monotonic()
    assert await asyncio.to_thread(gateway.process.stop) == 0
    assert time.monotonic() - began_s < _STOP_S, "a task was left that the stop had to wait for"
    assert "Traceback" not in gateway.process.output


async def test_five_hundred_callers_that_leave_together_leave_nothing_behind(
    gateway: Stack, provider: Provider
) -> None:
    at_once = 50
    async with AsyncExitStack() as stack:
        callers = await stack.enter_async_context(Callers(gateway.env))
        before = _open_files(gateway)
        for _ in range(10):
            left = [
                await _call(entrance, moment, callers, gateway.env)
                for entrance in ENTRANCES
                for moment in ("unary", "stream_before")
                for _ in range(at_once // 10)
            ]
            await reached(lambda: len(provider.open_connections) == at_once)
            for each in left:
                await each.leave()
            await reached(lambda: not provider.open_connections, CLOSED_S * 4)
            for each in left:
                await each.close()
        now = await page_where(gateway.env, lambda now: now.total("sidecar_requests_total") >= 10 * at_once)
        assert now.by("sidecar_requests_total", "outcome") == {"cancelled": 10 * at_once}
        assert now.total("sidecar_in_flight") == 0
        await reached(lambda: _open_files(gateway) <= before + at_once // 2, 5, f"{before} open files again")
        after = _open_files(gateway)
        print(f"\n{10 * at_once} calls left, fifty at once; open files of the workers: {before} before, {after} after")


def _open_files(gateway: Stack) -> int:
    """Of both workers."""
    pids = [
        int(path.name.partition("-")[2].removesuffix(".sock")) for path in (gateway.state / "run").glob("w*-*.sock")
    ]
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


async def test_a_call_that_finished_is_not_counted_as_cancelled(gateway: Stack) -> None:
    """The control: the checks above can tell the difference."""
    async with Callers(gateway.env) as callers:
        assert await callers.rest() == await callers.local() == await callers.front_stream() == "ok"
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await callers.by_local.Chat(chat_request(route="silent"), timeout=0.2)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    now: Page = await page_where(gateway.env, lambda now: now.total("sidecar_requests_total") >= 4)
    assert now.by("sidecar_requests_total", "outcome") == {"ok": 3, "upstream_timeout": 1}
    assert (await page(gateway.env)).total("sidecar_in_flight") == 0

"""Many streams that their callers leave, many calls of all kinds: a worker is as large afterwards as before."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from tests.processes import reached
from tests.provider import Call, Provider, Reply, default_reply, error_reply
from tests.provider.reply import End
from tests.scale import SCALE, scaled
from tests.stack.leaving import RawRest, TypedCall
from tests.stack.load import OK, Ask, Callers, Counts, chat_body, chat_request, closed_loop
from tests.stack.seen import Page, page_where
from tests.stack.stack import Stack, config_for, route

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
# In CI less than a tenth: what grows with each call shows all the same.
STREAMS = scaled(20_000) if SCALE >= 1 else scaled(8_000, minimum=300)
CALLS = scaled(100_000) if SCALE >= 1 else scaled(30_000, minimum=1_500)
# What a worker makes once: pools, caches, label sets, arenas of the allocator.
WARM_UP = 0.3
AT_ONCE = 16
GROWTH_BYTES_MAX = 8 * 1024 * 1024
# Kept connections to the provider and gRPC's pollers come and go by themselves.
SPARE_FILES = 8
FAILURES = {
    "down": "HTTP 503",
    "down over local gRPC": "UNAVAILABLE",
    "limited": "HTTP 429",
    "cut": "ended with",
    "cut over local gRPC": "UNAVAILABLE",
}
_STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """Of one worker."""

    rss_bytes: int
    files: int
    threads: int


def script(call: Call) -> Reply:
    body = call.json
    healthy = default_reply(call, body)
    match body["model"]:
        case "down":
            return error_reply(call, 503, "down")
        case "cut":
            return replace(healthy, end=End.CUT, cut_at=sum(map(len, healthy.parts[:2])))  # type: ignore[arg-type]
        case "held":
            return replace(healthy, parts=healthy.parts[:3], end=End.STALL)
    return healthy


def config(provider: Provider) -> str:
    more = [
        route(name, "chat", provider, model=name, extra="retries: {backoff: 1ms}") for name in ("down", "held", "cut")
    ]
    limits = "limits: [{requests: 1, per: 31 days}, {tokens: 1000, per: 31 days}]"
    return config_for(provider, *more, route("limited", "chat", provider, extra=limits))


async def test_many_left_streams_and_mixed_calls_leave_a_worker_as_it_was(tmp_path: Path, provider: Provider) -> None:
    provider.script = script
    with Stack(tmp_path, config(provider), options=("--access-log", "json")) as stack:
        counts: Counts = Counter()
        await _round(stack, WARM_UP, counts)
        before = await _sizes(stack, provider)
        began_s = time.monotonic()
        await _round(stack, 1 - WARM_UP, counts)
        took_s = time.monotonic() - began_s
        now = await page_where(stack.env, lambda now: now.total("sidecar_requests_total") >= counts.total(), 30)
        after = await _sizes(stack, provider, before)
        _show(counts, before, after, took_s)
        assert counts["left"] == int(STREAMS * WARM_UP) + int(STREAMS * (1 - WARM_UP))
        _as_counted(counts, now)
        for pid, size in before.items():
            assert after[pid].rss_bytes - size.rss_bytes <= GROWTH_BYTES_MAX
            assert after[pid].files <= size.files + SPARE_FILES
            assert after[pid].threads <= size.threads + SPARE_FILES
        began_s = time.monotonic()
        assert await asyncio.to_thread(stack.stop) == 0
        assert time.monotonic() - began_s < _STOP_S, "something was left that the stop had to wait for"
        assert "Traceback" not in stack.log


async def _round(stack: Stack, share: float, counts: Counts) -> None:
    """A share of all. Nothing of a client is left afterwards."""
    async with Callers(stack.env) as callers:
        counts += await closed_loop(_mixture(callers), AT_ONCE, int(CALLS * share))
        await _left_streams(stack, callers, int(STREAMS * share), counts)


def _mixture(callers: Callers) -> Sequence[Ask]:
    """One of each in turn. Failures have the words of TOLD, others tell what went wrong."""

    def by_rest(model: str) -> Ask:
        body = chat_body(model=model, stream=True)
        return _expecting(FAILURES.get(model, OK), lambda: callers.rest_stream(body))

    def by_local(model: str) -> Ask:
        request = chat_request(route=model)
        return _expecting(FAILURES.get(f"{model} over local gRPC", OK), lambda: callers.local_stream(request))

    whole: list[Ask] = [callers.rest, callers.local, callers.front, callers.rest_fresh, callers.local, callers.front]
    streams: list[Ask] = [
        callers.rest_stream,
        callers.local_stream,
        callers.front_stream,
        by_rest("claude"),
        by_local("claude"),
    ]
    failing = [by_rest("down"), by_local("down"), by_rest("limited"), by_rest("cut"), by_local("cut")]
    return [*whole, *streams, *failing]


def _expecting(start: str, ask: Ask) -> Ask:
    async def expecting() -> str:
        word = await ask()
        return f"failed: {start}" if start != OK and word.startswith(start) else word

    return expecting


async def _left_streams(stack: Stack, callers: Callers, count: int, counts: Counts) -> None:
    """Begun, heard, and left: a third each by REST, through the front by gRPC, and over local gRPC."""
    numbers = iter(range(count))
    body, request = chat_body(model="held", stream=True), chat_request(route="held")

    async def leaver() -> None:
        for number in numbers:
            if number % 3 == 0:
                rest = RawRest(stack.env, version=1 + number % 2)
                await rest.ask(body)
                left: RawRest | TypedCall = rest
            else:
                stub, metadata = ((callers.by_local, None), (callers.by_front, callers.metadata))[number % 3 - 1]
                left = typed = TypedCall(stub, metadata)
                await typed.ask(request, stream=True)
            try:
                await left.first_event()
                await left.leave()
            finally:
                await left.close()
            counts["left"] += 1

    await asyncio.gather(*(leaver() for _ in range(AT_ONCE)))


async def _sizes(stack: Stack, provider: Provider, before: dict[int, Size] | None = None) -> dict[int, Size]:
    """Of each worker by pid, once all is at rest: no socket of a left call is open, and no more files than `before`, in time."""
    await page_where(stack.env, lambda now: now.total("sidecar_in_flight") == 0, 30)
    await reached(lambda: all(call.outcome is not None for call in provider.calls), 30, "closed sockets")
    end_s = time.monotonic() + 30
    while True:
        now = {pid: _size(pid) for pid in stack.worker_pids}
        settled = before is None or all(now[pid].files <= before[pid].files + SPARE_FILES for pid in before)
        if settled or time.monotonic() > end_s:
            return now
        await asyncio.sleep(0.2)


def _size(pid: int) -> Size:
    process = psutil.Process(pid)
    return Size(process.memory_info().rss, process.num_fds(), process.num_threads())


def _as_counted(counts: Counts, now: Page) -> None:
    """What callers saw is what the core counted."""
    failed = {word.removeprefix("failed: "): count for word, count in counts.items() if word.startswith("failed: ")}
    assert counts.keys() <= {OK, "left", *(f"failed: {word}" for word in FAILURES.values())}, counts
    outcomes = now.by("sidecar_requests_total", "outcome")
    assert outcomes["ok"] == counts[OK]
    assert outcomes["cancelled"] == counts["left"]
    assert outcomes["rate_limited"] == failed["HTTP 429"]
    assert outcomes["upstream_unavailable"] + outcomes["upstream_interrupted"] == sum(
        failed[word] for word in ("HTTP 503", "UNAVAILABLE", "ended with")
    )


def _show(counts: Counts, before: dict[int, Size], after: dict[int, Size], took_s: float) -> None:
    print(f"\n{STREAMS} left streams, {CALLS} mixed calls: {dict(counts)}; all but the warm-up in {took_s:.0f} s")
    for pid, size in before.items():
        grown = (after[pid].rss_bytes - size.rss_bytes) / 1024**2
        files, threads = f"{size.files} -> {after[pid].files}", f"{size.threads} -> {after[pid].threads}"
        print(f"  worker {pid}: {size.rss_bytes / 1024**2:.0f} MiB, {grown:+.1f} MiB; files {files}, threads {threads}")

"""Callers, the core's counters, the access log, the database and the provider tell of the same calls, tokens and dollars."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.endurance.totals import RunTotals, read_lines, read_received, read_spend
from tests.endurance.traffic import TIGHT, config, traffic
from tests.processes import REPOSITORY
from tests.provider import Provider
from tests.scale import scaled
from tests.stack.seen import Page, page
from tests.stack.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# Of every kind by every way four times at least.
CALLS = scaled(6000, minimum=280)
CALLS_FOR_THE_CONTROL = 140
AT_ONCE = 16
SEED = 11
SETTLED_S = 30.0


async def _totals(folder: Path, provider: Provider, front: str, count: int, package: Path | None = None) -> RunTotals:
    options = ("--access-log", "json")
    with Stack(folder, config(provider), front=front, options=options, package=package) as stack:
        async with traffic(stack, provider) as calls:
            await calls.run(count, AT_ONCE, random.Random(SEED))
            page = await _settled(stack, count)
        assert await asyncio.to_thread(stack.stop) == 0
        assert "Traceback" not in stack.log
        lines = read_lines(stack.process.output)
        return RunTotals(calls.seen, page, lines, read_spend(stack.state), read_received([provider]))


async def _settled(stack: Stack, count: int) -> Page:
    """The page once all calls are counted; those that were left may take a moment. As it is where that never happens."""
    end_s = time.monotonic() + SETTLED_S
    while True:
        now = await page(stack.env)
        ended = now.total("sidecar_requests_total") >= count and now.total("sidecar_in_flight") == 0
        if ended or time.monotonic() > end_s:
            return now
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("front", ["nginx", "envoy"])
async def test_all_counts_of_a_run_agree(tmp_path: Path, provider: Provider, front: str) -> None:
    totals = await _totals(tmp_path, provider, front, CALLS)
    outcomes = Counter(each.outcome for each in totals.seen)
    print(f"\n{front}: {len(totals.seen)} calls {dict(outcomes)}, {totals.received.total()} at the provider")
    assert not totals.drifts(), "\n".join(totals.drifts())
    assert outcomes.keys() == {
        "ok", "rate_limited", "route_not_found", "invalid_request", "upstream_unavailable", "upstream_interrupted",
        "cancelled",
    }  # fmt: skip
    assert sum(each.route == "tight" and each.outcome == "ok" for each in totals.seen) == TIGHT
    assert totals.page.total("sidecar_limited_total", unit="requests") == outcomes["rate_limited"]
    for name in ("retries", "fallbacks", "estimated_tokens"):
        assert totals.page.total(f"sidecar_{name}_total") > 0, "the counts agree over nothing"


# Each counts something twice, somewhere else: file, what stands there, what stands there then, and what tells of it.
DOUBLE_COUNTS = (
    (
        "sidecar/telemetry/series.py",
        "        number.inc()\n",
        '        number.inc(1 + (outcome == "cancelled"))\n',
        "calls, by the core, ('held', 'cancelled')",
    ),
    (
        "sidecar/gateway/record.py",
        "self._log.add(entry)",
        "[self._log.add(entry) for _ in range(1 + (self.attempts > 1))]",
        "calls, by the log, ('again', 'ok')",
    ),
    (
        "sidecar/gateway/record.py",
        "self._metrics.upstream_requests(provider, outcome).inc()",
        "self._metrics.upstream_requests(provider, outcome).inc(1 + (outcome != OK))",
        "provider calls, by the core",
    ),
    (
        "sidecar/store/memory.py",
        "        self.ledger.add(",
        '        for _ in range(1 + (rules.consumer == "local")): self.ledger.add(',
        "input_tokens, by the database, good",
    ),
)


async def test_double_counts_switched_on_in_a_copy_are_found(tmp_path: Path, provider: Provider) -> None:
    copy = tmp_path / "copy"
    for folder in ("sidecar", "adapters", "deploy"):
        shutil.copytree(REPOSITORY / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file, right, wrong, _ in DOUBLE_COUNTS:
        text = (copy / file).read_text()
        assert text.count(right) == 1, f"{file} has changed: {right}"
        (copy / file).write_text(text.replace(right, wrong))
    totals = await _totals(tmp_path, provider, "nginx", CALLS_FOR_THE_CONTROL, copy)
    drifts = "\n".join(totals.drifts())
    print(f"\n{drifts}")
    for *_, drift in DOUBLE_COUNTS:
        assert drift in drifts

"""Many calls over three gateways: what gets through a limit, with every call asking the store and with leases, and a budget."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from sidecar.domain.snapshot import Budget, Limit
from sidecar.store.leases import SLICE_SHARE
from tests.gateway.in_process import openai, to
from tests.limits.test_meter import PRICE
from tests.provider import Provider
from tests.scale import scaled
from tests.store.fleet import HOSTS, Fleet
from tests.store.hosts import shared
from tests.store.servers import RedisProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CALLS = scaled(100_000, 3_000)
LIMIT = CALLS * 2 // 5
MONTH_S = 30 * 86_400
# An eighth of the limit for each worker: two slices.
HELD_MAX = 2 * (LIMIT // SLICE_SHARE) * (HOSTS - 1)
# What a call reserves at most: its prompt and 512 tokens of an answer.
COST_MAX = 1_100


async def hammer(fleet: Fleet, calls: int, callers: int = 8) -> Counter[str]:
    left = [calls]

    async def caller(number: int) -> None:
        while left[0] > 0:
            left[0] -= 1
            await fleet.one(fleet.hosts[number % HOSTS])

    await asyncio.gather(*(caller(number) for number in range(HOSTS * callers)))
    return fleet.outcomes


@pytest.mark.parametrize("mode", ["exact", "leased"])
async def test_no_more_than_the_limit_gets_in_over_three_gateways(
    mode: Literal["exact", "leased"], provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    limits = (Limit("requests", LIMIT, MONTH_S, mode=mode), Limit("tokens", 10**9, MONTH_S, mode=mode))
    limited = to(openai(provider, price=PRICE), limits=limits)
    began_s = time.monotonic()
    async with Fleet(provider, limited, shared(redis.port), tmp_path) as fleet:
        redis.ask("CONFIG", "RESETSTAT")
        found = await hammer(fleet, CALLS)
        drained = int((time.monotonic() - began_s) * LIMIT / MONTH_S) + 1
        assert found["ok"] + found["rate_limited"] == CALLS
        assert found["ok"] <= LIMIT + drained
        assert found["ok"] >= LIMIT - (HELD_MAX if mode == "leased" else 0)
        assert fleet.billing.calls == found["ok"]
        scripts = int(redis.ask("INFO", "commandstats").partition(b"cmdstat_evalsha:calls=")[2].partition(b",")[0])
        print(f"{mode}: {dict(found)}, limit {LIMIT}, {scripts} scripts")


async def test_a_budget_is_never_overdrawn_over_three_gateways(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    budget = LIMIT * 400
    poor = to(openai(provider, price=PRICE), budgets=(Budget(budget, "month"),))
    async with Fleet(provider, poor, shared(redis.port), tmp_path) as fleet:
        found = await hammer(fleet, CALLS)
        assert found["ok"] + found["budget_exceeded"] == CALLS
        assert budget - COST_MAX <= fleet.billing.micro_dollars <= budget
        await fleet.agreed(redis)

"""What every store of limits and money does, whichever it is: memory of this machine, Redis, or Valkey."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adapters import GatewayError, Kind, Task
from sidecar.domain.snapshot import Budget, Consumer, Limit, Route
from sidecar.limits import LimitStore, Reservation
from sidecar.spend.ledger import Charge, Ledger
from sidecar.store import Admitted, Rules, SharedMemory, Store
from tests.gateway.in_process import to
from tests.processes import reached
from tests.store.hosts import Host, shared
from tests.store.servers import RELEASES, RedisProcess

A_DAY = 86_400
ANNA = Consumer("anna")


@dataclass
class Call:
    """What a call needs at most."""

    tokens: int = 0
    micro_dollars: int = 0


class Kept:
    """A store, with the waiting of one that answers later."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def admit(self, rules: Rules, tokens: int = 0, micro: int = 0) -> Reservation:
        found = self.store.admit(rules, Call(tokens, micro))
        return (found if isinstance(found, Admitted) else await found).reservation

    async def settled(self) -> None:
        """All settles are booked."""
        session = getattr(self.store, "_session", None)
        if session is not None:
            await reached(lambda: not session._outbox, what="the settles")

    async def settle(self, rules: Rules, reservation: Reservation, charge: Charge) -> None:
        self.store.settle(rules, reservation, charge)
        await self.settled()

    async def release(self, rules: Rules, reservation: Reservation) -> None:
        self.store.release(rules, reservation)
        await self.settled()


@pytest.fixture(params=["memory", *RELEASES])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    if request.param == "memory":
        store = SharedMemory(LimitStore(tmp_path, 0), Ledger(tmp_path))
        yield Kept(store)
        await store.close()
        return
    with RedisProcess(request.param, tmp_path / "redis") as redis:
        async with Host(to(), shared(redis.port), tmp_path / "a") as host:
            await host.up()
            yield Kept(host.store)


def rules(*limits: Limit, budgets: tuple[Budget, ...] = ()) -> Rules:
    return Rules(Route("chat", Task.CHAT, (), limits=limits, budgets=budgets), ANNA)


async def test_a_refusal_takes_nothing_of_the_others(kept: Kept) -> None:
    both = rules(Limit("requests", 3, A_DAY), Limit("concurrent", 1))
    first = await kept.admit(both)
    assert first.refused is None
    for _ in range(5):
        refused = (await kept.admit(both)).refused
        assert refused is not None
        assert (refused.bucket.unit, refused.retry_after_ns) == ("concurrent", None)
    await kept.settle(both, first, Charge(1))
    assert (await kept.admit(both)).refused is None
    assert (await kept.admit(rules(Limit("requests", 3, A_DAY)))).refused is None


async def test_the_first_limit_that_refuses_is_named_with_the_longest_wait(kept: Kept) -> None:
    both = rules(Limit("requests", 1, 60), Limit("tokens", 10, A_DAY))
    await kept.admit(both, tokens=10)
    refused = (await kept.admit(both, tokens=10)).refused
    assert refused is not None
    assert refused.bucket.unit in ("requests", "tokens")
    assert refused.retry_after_ns is not None
    assert 86_000 * 10**9 < refused.retry_after_ns <= 86_400 * 10**9


async def test_the_wait_is_true(kept: Kept) -> None:
    one = rules(Limit("requests", 2, 1))
    for _ in range(2):
        assert (await kept.admit(one)).refused is None
    refused = (await kept.admit(one)).refused
    assert refused is not None
    assert refused.retry_after_ns is not None
    assert 0 < refused.retry_after_ns <= 500_000_000
    await asyncio.sleep(refused.retry_after_ns / 1e9 + 0.002)
    assert (await kept.admit(one)).refused is None


async def test_what_is_released_comes_back_and_what_is_settled_does_not(kept: Kept) -> None:
    limit = rules(Limit("tokens", 100, A_DAY))
    await kept.release(limit, await kept.admit(limit, tokens=100))
    first = await kept.admit(limit, tokens=100)
    assert first.refused is None
    await kept.settle(limit, first, Charge(1, 20, 10))
    assert first.levels[0].remaining == 70
    assert (await kept.admit(limit, tokens=71)).refused is not None
    assert (await kept.admit(limit, tokens=70)).refused is None


async def test_a_call_above_the_whole_limit_is_let_in_once_and_pays_afterwards(kept: Kept) -> None:
    limit = rules(Limit("tokens", 100, A_DAY))
    first = await kept.admit(limit, tokens=1_000)
    assert first.refused is None
    await kept.settle(limit, first, Charge(1, 300, 0))
    refused = (await kept.admit(limit, tokens=1)).refused
    assert refused is not None
    assert refused.retry_after_ns is not None
    assert 2 * A_DAY * 10**9 < refused.retry_after_ns < 2.1 * A_DAY * 10**9


async def test_a_budget_that_is_spent_refuses_until_it_resets(kept: Kept) -> None:
    poor = rules(budgets=(Budget(1_000, "day"),))
    await kept.settle(poor, await kept.admit(poor, micro=400), Charge(1, micro_dollars=1_000))
    with pytest.raises(GatewayError) as raised:
        await kept.admit(poor, micro=1)
    assert raised.value.kind is Kind.BUDGET_EXCEEDED
    assert "$0.001 per day" in raised.value.message
    assert raised.value.retry_after_s is not None
    assert 0 < raised.value.retry_after_s <= A_DAY


async def test_who_only_looks_sees_what_calls_are_told_and_takes_nothing(kept: Kept) -> None:
    limits = rules(Limit("requests", 5, A_DAY), Limit("tokens", 100, A_DAY), Limit("concurrent", 3))

    async def left() -> list[int]:
        for _ in range(2):
            levels = await kept.store.levels(limits.buckets)
            assert [each.bucket for each in levels or ()] == list(limits.buckets)
        return [each.remaining for each in levels or ()]

    assert await left() == [5, 100, 3]
    first = await kept.admit(limits, tokens=40)
    assert await left() == [each.remaining for each in first.levels] == [4, 60, 2]
    second = await kept.admit(limits, tokens=40)
    await kept.settle(limits, first, Charge(1, 5, 5))
    assert await left() == [3, 50, 2]
    await kept.release(limits, second)
    assert await left() == [4, 90, 3]
    await kept.settle(limits, await kept.admit(limits, tokens=90), Charge(1, 500, 0))
    (requests, tokens, _) = await kept.store.levels(limits.buckets) or []
    assert (requests.remaining, tokens.remaining) == (3, 0)
    assert 5.1 * A_DAY * 10**9 > tokens.reset_ns > 5 * A_DAY * 10**9


async def test_a_call_that_is_released_after_its_settle_changes_nothing(kept: Kept) -> None:
    limit = rules(Limit("concurrent", 2))
    first, second = await kept.admit(limit), await kept.admit(limit)
    await kept.release(limit, first)
    assert (await kept.admit(limit)).refused is None
    assert (await kept.admit(limit)).refused is not None
    await kept.release(limit, second)
    assert (await kept.admit(limit)).refused is None


@pytest.mark.parametrize("seed", range(3))
async def test_any_interleaving_keeps_the_limits_and_gives_everything_back(kept: Kept, seed: int) -> None:
    chance = random.Random(seed)
    limits = rules(Limit("requests", 12, A_DAY), Limit("tokens", 500, A_DAY), Limit("concurrent", 4))
    under_way: list[tuple[Reservation, int]] = []
    counted = tokens_used = 0

    async def begin() -> None:
        tokens = chance.randrange(60)
        reservation = await kept.admit(limits, tokens=tokens)
        if reservation.refused is None:
            under_way.append((reservation, tokens))
        assert counted + len(under_way) <= 12
        assert len(under_way) <= 4
        assert tokens_used + sum(each for _, each in under_way) <= 500

    for _ in range(120):
        if chance.random() < 0.6:
            await asyncio.gather(*(begin() for _ in range(chance.choice((1, 1, 3)))))
        elif under_way:
            reservation, tokens = under_way.pop(chance.randrange(len(under_way)))
            if chance.random() < 0.6:
                await kept.release(limits, reservation)
            else:
                used = chance.randrange(tokens + 1)
                counted, tokens_used = counted + 1, tokens_used + used
                await kept.settle(limits, reservation, Charge(1, used, 0))
    for reservation, _ in under_way:
        await kept.release(limits, reservation)
    under_way.clear()
    for _ in range(12 - counted):
        reservation = await kept.admit(limits)
        assert reservation.refused is None
        await kept.settle(limits, reservation, Charge(1))
    refused = (await kept.admit(limits)).refused
    assert refused is not None
    assert refused.bucket.unit == "requests"

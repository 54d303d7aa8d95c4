"""Two gateways and one Redis: a limit and a budget hold over both, and both know what was spent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Budget, Limit, Snapshot
from sidecar.spend.ledger import Charge
from tests.gateway.in_process import openai, to
from tests.limits.test_meter import PRICE, USAGE, answering
from tests.provider import Provider
from tests.store.hosts import Host, shared
from tests.store.servers import RedisProcess


def snapshot(provider: Provider, **fields: Any) -> Snapshot:
    return to(openai(provider, price=PRICE), **fields)


async def outcomes(hosts: list[Host], calls: int) -> list[str]:
    """Of so many calls at once, spread over the hosts."""

    async def one(host: Host) -> str:
        try:
            await host.chat()
        except GatewayError as error:
            return error.kind.value
        return "ok"

    return await asyncio.gather(*(one(hosts[number % len(hosts)]) for number in range(calls)))


async def test_a_limit_of_n_lets_in_n_over_both(provider: Provider, redis: RedisProcess, tmp_path: Path) -> None:
    provider.script = answering(USAGE)
    limited = snapshot(provider, limits=(Limit("requests", 10, 86_400),))
    async with (
        Host(limited, shared(redis.port), tmp_path / "a") as first,
        Host(limited, shared(redis.port), tmp_path / "b") as second,
    ):
        await first.up()
        await second.up()
        found = await outcomes([first, second], 40)
        assert found.count("ok") == 10
        assert found.count("rate_limited") == 30
        with pytest.raises(GatewayError) as raised:
            await second.chat()
        assert raised.value.retry_after_s is not None
        assert 0 < raised.value.retry_after_s <= 8640.1
        assert dict(raised.value.headers)["x-ratelimit-remaining-requests"] == "0"
        for host in (first, second):
            await host.has_booked(lambda booked: booked == Charge(10, 1000, 500, micro_dollars=2000))


async def test_a_limit_of_0_lets_nothing_through(provider: Provider, redis: RedisProcess, tmp_path: Path) -> None:
    closed = snapshot(provider, limits=(Limit("requests", 0, 60),))
    async with Host(closed, shared(redis.port), tmp_path / "a") as host:
        await host.up()
        assert await outcomes([host], 3) == ["rate_limited"] * 3
    assert provider.calls == []


async def test_a_budget_is_not_overdrawn_by_calls_at_once(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    """What a call may cost is reserved before it is sent: 512 tokens of an answer and its prompt, here 1,030 micro-dollars."""
    provider.script = answering(USAGE)
    poor = snapshot(provider, budgets=(Budget(5_000, "month"),))
    async with (
        Host(poor, shared(redis.port), tmp_path / "a") as first,
        Host(poor, shared(redis.port), tmp_path / "b") as second,
    ):
        await first.up()
        await second.up()
        found = await outcomes([first, second], 20)
        assert 0 < found.count("ok") <= 4
        assert found.count("budget_exceeded") == 20 - found.count("ok")
        refusal = await spend_all(second)
        assert refusal.kind is Kind.BUDGET_EXCEEDED
        assert "is left" in refusal.message
        assert refusal.retry_after_s is not None
        await first.has_booked(lambda booked: 3_900 < booked.micro_dollars <= 5_000)


async def spend_all(host: Host) -> GatewayError:
    """The refusal that does not depend on calls under way."""
    while True:
        try:
            await host.chat()
        except GatewayError as error:
            if "reserved by calls" not in error.message:
                return error
            await asyncio.sleep(0)

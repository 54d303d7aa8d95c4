"""Two gateways and one Redis: a limit and a budget hold over both, and both know what was spent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Budget, Consumer, Limit, Snapshot
from sidecar.spend.ledger import Charge, pair_key, route_key
from sidecar.store.operations import sum_name
from tests.gateway.in_process import openai, to
from tests.limits.test_meter import PRICE, USAGE, answering
from tests.processes import reached
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


async def test_a_budget_that_is_new_begins_at_what_the_month_has_spent(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    provider.script = answering(USAGE)
    async with Host(snapshot(provider), shared(redis.port), tmp_path / "a") as host:
        await host.up()
        assert await outcomes([host], 3) == ["ok"] * 3
        await host.has_booked(lambda booked: booked.micro_dollars == 600)
    poor = snapshot(provider, budgets=(Budget(1_500, "month"),))
    async with Host(poor, shared(redis.port), tmp_path / "a") as host:
        await host.up()
        name = "{sidecar:default}1:" + sum_name(route_key("chat"), "month")
        await reached(lambda: redis.ask("GET", name), what="the sum")
        with pytest.raises(GatewayError) as raised:
            await host.chat()
        assert raised.value.kind is Kind.BUDGET_EXCEEDED
        assert "$0.0009 is left" in raised.value.message


async def test_two_budgets_of_one_scope_are_one_sum_and_the_smaller_holds(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    """A route's for each consumer, and the consumer's for each route."""
    provider.script = answering(USAGE)
    consumer = Consumer("local", budgets=(Budget(10**9, "day", each=True),))
    both = snapshot(provider, budgets=(Budget(2_000, "day", each=True),))
    async with Host(both, shared(redis.port), tmp_path / "a") as host:
        await host.up()

        async def calls() -> None:
            for _ in range(8):
                await host.gateway.unary(host.call()._replace(consumer=consumer))
                await reached(lambda: redis.ask("HLEN", "{sidecar:default}1:open") == 0, what="the settle")

        with pytest.raises(GatewayError, match="is left"):
            await calls()
        name = "{sidecar:default}1:" + sum_name(pair_key("chat", "local"), "day")
        await reached(lambda: redis.ask("GET", name).split()[2] == b"0", what="nothing held")
        assert int(redis.ask("GET", name).split()[1]) == 200 * len(provider.calls)


async def spend_all(host: Host) -> GatewayError:
    """The refusal that does not depend on calls under way."""
    while True:
        try:
            await host.chat()
        except GatewayError as error:
            if "reserved by calls" not in error.message:
                return error
            await asyncio.sleep(0)

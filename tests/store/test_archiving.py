"""Several gateways fill one archive in Postgres: each call once, whatever is away meanwhile, and who is new learns from it."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from adapters import GatewayError, Kind, Task
from sidecar.domain.snapshot import Budget, Consumer, Route
from sidecar.spend.archive import Archive, booking
from sidecar.spend.budgets import allowances_of
from sidecar.spend.calendar import today_at
from sidecar.spend.ledger import Charge, Line, route_key
from sidecar.store.operations import sum_name
from sidecar.store.stream import SHARED
from tests.limits.test_meter import USAGE, answering
from tests.processes import reached
from tests.provider import Provider
from tests.store.fleet import PREFIX, Fleet
from tests.store.hosts import Host, shared
from tests.store.postgres import Database
from tests.store.servers import RELEASES, RedisProcess, Release
from tests.store.test_two_gateways import snapshot

pytestmark = pytest.mark.slow
STREAM = PREFIX + "ledger"
TODAY = today_at(time.time()).day
# A row that was delivered a minute ago, and that nobody has acknowledged.
_TAKEN_BY_THE_DEAD = """local id = redis.call('XADD', KEYS[1], '*', 'e', ARGV[2])
redis.call('XCLAIM', KEYS[1], ARGV[1], 'dead', 0, id, 'IDLE', 60000, 'FORCE')
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], id)"""


async def agree(postgres: Database, calls: int, micro_dollars: int) -> None:
    """The archive has so many calls of all gateways, and its rows add up to its sums."""
    found: list[tuple[int, int]] = []

    async def as_expected() -> bool:
        sums = await postgres.sums()
        found[:] = [(sum(each[2] for each in sums), sum(each[3] for each in sums))]
        return found == [(calls, micro_dollars)]

    until = asyncio.get_running_loop().time() + 20
    while not await as_expected():
        assert asyncio.get_running_loop().time() < until, (found, calls, micro_dollars)
        await asyncio.sleep(0.1)


async def calls(host: Host, count: int) -> None:
    for _ in range(count):
        await host.chat()


async def archived(host: Host) -> None:
    await reached(lambda: host.archiving is not None and not host.archiving.unreachable, 20, "the archive")


@pytest.mark.parametrize("release", RELEASES)
async def test_calls_of_all_gateways_are_in_it_once(
    release: Release, provider: Provider, postgres: Database, tmp_path: Path
) -> None:
    with RedisProcess(release, tmp_path / "redis") as redis:
        store = shared(redis.port, archive=postgres.server)
        rich = snapshot(provider, budgets=(Budget(10**9, "month"),))
        async with Fleet(provider, rich, store, tmp_path) as fleet:
            async with fleet.calling():
                await fleet.more(300)
            await fleet.agreed(redis)
            await agree(postgres, fleet.billing.calls, fleet.billing.micro_dollars)


@pytest.mark.parametrize("how", ["stopped", "paused"])
async def test_rows_wait_in_the_store_while_postgres_is_away(
    how: str,
    provider: Provider,
    redis: RedisProcess,
    postgres: Database,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.script = answering(USAGE)
    caplog.set_level("INFO")
    async with Host(snapshot(provider), shared(redis.port, archive=postgres.server), tmp_path / "a") as host:
        await archived(host)
        await calls(host, 3)
        await agree(postgres, 3, 600)
        process = postgres.process
        process.stop() if how == "stopped" else process.pause(paused=True)
        try:
            await calls(host, 5)
            await host.has_booked(lambda booked: booked.calls == 8)
            await reached(lambda: host.archiving is not None and host.archiving.unreachable, 30, "the loss of it")
            line = (await host.fold._connector.connect()).line
            await host.fold.stream.trim(line, await host.fold.stream.count(line, drop_groups=True))
            line.abort()
            assert redis.ask("XLEN", STREAM) >= 5
            assert host.fold.stream.not_archived == 5
            assert "The archive in Postgres cannot be filled" in caplog.text
        finally:
            process.start() if how == "stopped" else process.pause(paused=False)
        await agree(postgres, 8, 1_600)
        await archived(host)
        assert "The archive in Postgres is filled again" in caplog.text


async def test_rows_of_a_gateway_that_died_with_them_are_taken_over(
    provider: Provider, redis: RedisProcess, postgres: Database, tmp_path: Path
) -> None:
    provider.script = answering(USAGE)
    async with Host(snapshot(provider), shared(redis.port, archive=postgres.server), tmp_path / "a") as host:
        await archived(host)
        for number in range(3):
            row = booking(f"dead.{number}", TODAY, "chat", "ben", Charge(1, micro_dollars=5))
            redis.ask("EVAL", _TAKEN_BY_THE_DEAD, 1, STREAM, SHARED, row.text)
        await agree(postgres, 3, 15)
        await reached(lambda: redis.ask("XPENDING", STREAM, SHARED)[0] == 0, 20, "nothing left")


async def test_a_new_gateway_knows_what_the_others_spent(
    provider: Provider, redis: RedisProcess, postgres: Database, tmp_path: Path
) -> None:
    provider.script = answering(USAGE)
    store = shared(redis.port, archive=postgres.server)
    (budget,) = allowances_of(Route("chat", Task.CHAT, (), budgets=(Budget(10**9, "month"),)), Consumer("local"))
    async with Host(snapshot(provider), store, tmp_path / "a") as first:
        await archived(first)
        await calls(first, 4)
        await agree(postgres, 4, 800)
        redis.ask("XTRIM", STREAM, "MAXLEN", 0)
        async with Host(snapshot(provider), store, tmp_path / "b") as second:
            await second.has_booked(lambda booked: booked == Charge(4, 400, 200, micro_dollars=800))
            await calls(second, 2)
            for host in (first, second):
                await host.has_booked(lambda booked: booked.micro_dollars == 1_200)
                await reached(lambda it=host: it.store.spent(budget) == 1_200, 20, "the sum in memory")  # type: ignore[misc]
        await agree(postgres, 6, 1_200)


async def test_what_was_spent_before_it_was_named_is_put_there_once(
    provider: Provider, redis: RedisProcess, postgres: Database, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        archive = Archive(tmp_path / name / "spend.sqlite")
        archive.write([Line(TODAY - 200, "anna", "chat", Charge(9, micro_dollars=90))])
        archive.write([Line(TODAY, "anna", "chat", Charge(5, micro_dollars=50))])
        archive.close()
    provider.script = answering(USAGE)
    store = shared(redis.port, archive=postgres.server)
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(Host(snapshot(provider), store, tmp_path / name)) for name in "ab"]
        for host in hosts:
            await archived(host)
        await calls(hosts[0], 1)
        await agree(postgres, 15, 340)


async def test_what_was_never_archived_is_when_the_store_has_lost_it(
    provider: Provider, redis: RedisProcess, postgres: Database, tmp_path: Path
) -> None:
    """Postgres is away, then the store loses its stream: the sums come from the gateways' own copies."""
    provider.script = answering(USAGE)
    async with Host(snapshot(provider), shared(redis.port, archive=postgres.server), tmp_path / "a") as host:
        await archived(host)
        await calls(host, 2)
        await agree(postgres, 2, 400)
        postgres.process.stop()
        try:
            await calls(host, 3)
            await host.has_booked(lambda booked: booked.calls == 5)
            redis.ask("FLUSHALL")
            await reached(lambda: (redis.ask("GET", PREFIX + "epoch") or b"").startswith(b"ready"), 20, "the sums")
            await host.up()
            redis.ask("XTRIM", STREAM, "MAXLEN", 0)
        finally:
            postgres.process.start()
        await calls(host, 1)
        await agree(postgres, 6, 1_200)
        await host.has_booked(lambda booked: booked == Charge(6, 600, 300, micro_dollars=1_200))


async def test_sums_of_an_empty_store_come_from_it_when_no_gateway_has_them(
    provider: Provider, redis: RedisProcess, postgres: Database, tmp_path: Path
) -> None:
    """All machines are new, as pods without disks are, and so is the Redis."""
    provider.script = answering(USAGE)
    poor = snapshot(provider, budgets=(Budget(1_500, "month"),))
    store = shared(redis.port, archive=postgres.server)
    async with Host(poor, store, tmp_path / "a") as host:
        await host.up()
        for _ in range(3):
            await host.chat()
            await reached(lambda: redis.ask("HLEN", PREFIX + "open") == 0, what="the settle")
    await agree(postgres, 3, 600)
    redis.ask("FLUSHALL")
    async with Host(poor, store, tmp_path / "b") as host:
        await host.up()
        assert redis.ask("GET", PREFIX + sum_name(route_key("chat"), "month")).split()[1] == b"600"
        with pytest.raises(GatewayError) as raised:
            await host.chat()
        assert raised.value.kind is Kind.BUDGET_EXCEEDED
        assert "$0.0009 is left" in raised.value.message
    await agree(postgres, 3, 600)


async def test_many_faults_leave_every_copy_alike(
    provider: Provider, redis: RedisProcess, postgres: Database, tmp_path: Path
) -> None:
    store = shared(redis.port, archive=postgres.server, timeout_s=0.05)
    rules: dict[str, Any] = {"budgets": (Budget(10**9, "month", when_unavailable="allow"),)}
    async with Fleet(provider, snapshot(provider, **rules), store, tmp_path) as fleet:
        async with fleet.calling(3):
            await fleet.more(60)
            postgres.process.stop()
            await fleet.more(60)
            redis.ask("FLUSHALL")
            await fleet.more(60)
            postgres.process.start()
            await fleet.more(60)
            redis.kill()
            await fleet.more(60)
            redis.start()
            await fleet.more(60)
        await fleet.agreed(redis)
        await agree(postgres, fleet.billing.calls, fleet.billing.micro_dollars)

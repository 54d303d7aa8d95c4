"""What survives which fault of the store: three gateways under load, one fault, and then every sum agrees to the micro-dollar.

docs/concepts/reliability.md has the table.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.domain.snapshot import Budget, Limit, Snapshot, WhenUnavailable
from sidecar.spend.ledger import route_key
from sidecar.store import operations
from sidecar.store.counters import StoreMetrics
from sidecar.store.operations import Operation, sum_name
from sidecar.store.session import Session
from sidecar.store.unsent import UnsentSettles
from sidecar.telemetry.metrics import Metrics
from tests.gateway.in_process import openai, to
from tests.limits.test_meter import PRICE
from tests.processes import reached
from tests.provider import Provider
from tests.scale import SCALE
from tests.store.fleet import PREFIX, Fleet
from tests.store.hosts import shared
from tests.store.proxy import Proxy
from tests.store.servers import RedisProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
AWAY_S = 0.7
PAUSE_S = 5.0 if SCALE >= 1 else 1.0
BEFORE, AFTER = 200, 600  # calls
# A refusal has 50 ms; this machine may be busy with other things.
DECIDED_S = 1.0


def snapshot(provider: Provider, when_unavailable: WhenUnavailable) -> Snapshot:
    """Limits that nothing reaches: what they keep is what is looked at."""
    limits = (
        Limit("requests", 1_000_000, 60, when_unavailable=when_unavailable),
        Limit("tokens", 100_000_000, 60, when_unavailable=when_unavailable),
        Limit("concurrent", 1_000, when_unavailable=when_unavailable),
    )
    budgets = (Budget(10**12, "month", when_unavailable=when_unavailable),)
    return to(openai(provider, price=PRICE), limits=limits, budgets=budgets)


class Scene:
    """A fault, while calls go on."""

    def __init__(self, redis: RedisProcess, proxy: Proxy) -> None:
        self.redis = redis
        self.proxy = proxy

    async def killed(self) -> None:
        self.redis.kill()
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(self.redis.start)

    async def killed_without_data(self) -> None:
        self.redis.kill()
        self.redis.forget()
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(self.redis.start)

    async def stopped(self) -> None:
        self.redis.send(signal.SIGSTOP)
        await asyncio.sleep(PAUSE_S)
        self.redis.send(signal.SIGCONT)

    async def flushed(self) -> None:
        self.redis.ask("FLUSHALL")

    async def script_forgotten(self) -> None:
        self.redis.ask("SCRIPT", "FLUSH")

    async def slow(self) -> None:
        self.proxy.mode = "slow"
        await asyncio.sleep(AWAY_S)
        self.proxy.mode = "pass"

    async def cut(self) -> None:
        self.proxy.mode = "cut"
        await asyncio.sleep(AWAY_S)
        self.proxy.mode = "pass"
        assert self.proxy.cuts


FAULTS: dict[str, Callable[[Scene], Awaitable[None]]] = {
    "kill -9, restart with its data": Scene.killed,
    "kill -9, restart without data": Scene.killed_without_data,
    "SIGSTOP": Scene.stopped,
    "FLUSHALL": Scene.flushed,
    "SCRIPT FLUSH": Scene.script_forgotten,
    "answers 100 ms late": Scene.slow,
    "connections cut in the middle of answers": Scene.cut,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_after_a_fault_of_the_store_every_sum_agrees(
    fault: str, provider: Provider, redis: RedisProcess, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    async with (
        Proxy(redis.port) as proxy,
        Fleet(provider, snapshot(provider, "allow"), shared(proxy.port, timeout_s=0.05), tmp_path) as fleet,
    ):
        async with fleet.calling():
            await fleet.more(BEFORE)
            await FAULTS[fault](Scene(redis, proxy))
            back_s = time.monotonic()
            await fleet.up()
            await fleet.more(AFTER)
        await fleet.agreed(redis)
        assert set(fleet.outcomes) <= {"ok", "ok without the store"}
        record_property("outcomes", dict(fleet.outcomes))
        record_property("away after its return, s", round(max(0.0, fleet.last_away_s - back_s), 2))


async def test_what_denies_is_refused_within_the_time_and_nothing_is_overdrawn(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    async with Fleet(provider, snapshot(provider, "deny"), shared(redis.port, timeout_s=0.05), tmp_path) as fleet:
        async with fleet.calling():
            await fleet.more(BEFORE)
            await Scene(redis, Proxy(0)).stopped()
            await fleet.up()
            await fleet.more(AFTER)
        assert fleet.outcomes["store_unavailable"]
        assert not any("without the store" in each for each in fleet.outcomes)
        assert fleet.slowest_refusal_s < DECIDED_S
        await fleet.agreed(redis)


async def test_a_replica_that_takes_over_gets_what_it_had_not(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    """Replication is asynchronous: the last writes are lost with the master, and are booked again."""
    async with Proxy(redis.port) as link, Proxy(redis.port) as entrance:
        options = ("--replicaof", f"127.0.0.1 {link.port}", "--repl-diskless-sync-delay", "0")
        await asyncio.to_thread(redis.ask, "CONFIG", "SET", "repl-diskless-sync-delay", 0)
        replica = RedisProcess("8.2", tmp_path / "replica", *options)
        try:
            await asyncio.to_thread(replica.start)
            await reached(lambda: b"master_link_status:up" in replica.ask("INFO", "replication"), 20, "the replica")
            store = shared(entrance.port, timeout_s=0.05)
            async with Fleet(provider, snapshot(provider, "allow"), store, tmp_path) as fleet:
                async with fleet.calling():
                    await fleet.more(BEFORE)
                    link.mode = "swallow"
                    await fleet.more(BEFORE)
                    redis.kill()
                    replica.ask("REPLICAOF", "NO", "ONE")
                    entrance.to = replica.port
                    entrance.cut_all()
                    await fleet.up()
                    await fleet.more(AFTER)
                await fleet.agreed(replica)
        finally:
            replica.kill()


async def test_a_gateway_that_dies_loses_nothing_that_it_had_booked_or_kept(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    """In the middle of an outage, with everything unsent; its successor on the same state directory sends it."""
    store = shared(redis.port, timeout_s=0.05)
    async with Fleet(provider, snapshot(provider, "allow"), store, tmp_path) as fleet:
        async with fleet.calling():
            await fleet.more(BEFORE)
        redis.kill()
        async with fleet.calling():
            await fleet.more(BEFORE)
        victim = fleet.hosts[0].store._session
        for task in victim._tasks:
            task.cancel()
        left = len(victim._outbox)
        assert left
        victim._outbox.clear()
        victim._unsent.close()
        await asyncio.to_thread(redis.start)
        next_ = Session(store, b"host0", UnsentSettles(tmp_path / "host0" / "store"), StoreMetrics(Metrics()))
        assert len(next_._outbox) == left
        fleet.hosts[0].store._session = next_
        await fleet.agreed(redis)


async def test_what_another_release_left_holds_nobody_up(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    """A settle that the script does not understand, and a row that no archive does."""
    async with Fleet(provider, snapshot(provider, "allow"), shared(redis.port), tmp_path) as fleet:
        session = fleet.hosts[0].store._session
        number = session.new_number()
        session.settle(number, Operation(b"s of another release"))
        words = operations.settle(session.host, number, 1, 0, 0, b"not a row")
        session.settle(number, Operation(words))
        for _ in range(20):
            await fleet.one(fleet.hosts[0])
        await fleet.agreed(redis)
        assert fleet.hosts[0].count("sidecar_store_lost_settles_total") == 1
        assert fleet.outcomes == {"ok": 20}


async def test_a_settle_whose_counter_cannot_be_read_is_booked_all_the_same(
    provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    """The script fails after it has begun. The row is in the ledger by then, and the counter is raised to it."""
    fleet = Fleet(provider, snapshot(provider, "allow"), shared(redis.port), tmp_path)
    async with fleet:
        for _ in range(5):
            await fleet.one(fleet.hosts[0])
        await fleet.agreed(redis)
    fleet.hosts.clear()  # they begin again, as gateways that know the store
    async with fleet:
        fleet.billing.gate = gate = provider.gate()
        under_way = asyncio.create_task(fleet.one(fleet.hosts[0]))
        await reached(lambda: redis.ask("HLEN", PREFIX + "open") == 1, 20, "a call under way")
        redis.ask("SET", PREFIX + sum_name(route_key("chat"), "month"), "unreadable 0 0")
        gate.open()
        assert await under_way == "ok"
        await fleet.agreed(redis)


@pytest.mark.parametrize("key", ["ledger", "open"])
async def test_a_settle_that_the_store_cannot_take_is_counted_as_lost_or_in_the_ledger(
    key: str, provider: Provider, redis: RedisProcess, tmp_path: Path
) -> None:
    """Another program has overwritten a key."""
    async with Fleet(provider, snapshot(provider, "allow"), shared(redis.port), tmp_path) as fleet:
        await fleet.one(fleet.hosts[0])
        await fleet.agreed(redis)
        session = fleet.hosts[0].store._session
        redis.ask("SET", PREFIX + key, "what another program wrote")
        row = b'["chat","local",1,2,3,0,0,0,7,0,0,0]'
        number = session.new_number()
        session.settle(number, Operation(operations.settle(session.host, number, 1, 5, 7, row)))
        await reached(lambda: not session._outbox, 20, "the settle")
        redis.ask("DEL", PREFIX + key)
        lost = int(fleet.hosts[0].count("sidecar_store_lost_settles_total"))
        assert lost == (1 if key == "ledger" else 0)
        booked = fleet.billing.micro_dollars + 7 * (1 - lost)
        for host in fleet.hosts:
            await host.has_booked(lambda found: found.micro_dollars == booked)

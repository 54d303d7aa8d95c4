"""`python -m bench.store`: what limits and money cost a worker per call, in microseconds of CPU, by where they are
counted.

Sixteen callers run concurrently; each reserves, waits for a provider that takes 5 to 15 ms, and settles. Nothing
else of a gateway is included: a row is this process's CPU above that of the same loop without a store. The server is
a real redis-server on loopback. All rows are rounds of one run, one after the other; a figure is the minimum of its
rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import uvloop

from adapters import Task
from sidecar.domain.snapshot import Budget, Consumer, Limit, RedisServer, Route, SharedStore
from sidecar.limits import LimitStore, Reservation
from sidecar.spend.archive import Archive
from sidecar.spend.ledger import Charge, Ledger
from sidecar.store import Admitted, Rules, SharedMemory, Store
from sidecar.store.fold import LedgerFold
from sidecar.store.opened import open_store
from sidecar.store.outage import SpentSince
from sidecar.store.redis import RedisStore
from sidecar.telemetry.metrics import Metrics
from tests.processes import reached
from tests.store.servers import RELEASES, RedisProcess

IN_FLIGHT = 16
_PROVIDER_S = (0.005, 0.015)
_CHARGE = Charge(1, 100, 147, micro_dollars=900)
_MANY = 1_000_000_000
_MINUTE_S = 60
_BUDGETS = (Budget(10**12, "month"), Budget(10**12, "day"))


@dataclass(slots=True)
class Call:
    """The most a call can use."""

    tokens: int = 700
    micro_dollars: int = 1_500


def rules(mode: Literal["exact", "leased"], *budgets: Budget) -> Rules:
    """Two limits of the route and two of the consumer on it."""
    units: tuple[Literal["requests", "tokens"], ...] = ("requests", "tokens")
    limits = [Limit(unit, _MANY, _MINUTE_S, each=each, mode=mode) for each in (False, True) for unit in units]
    return Rules(Route("chat", Task.CHAT, (), limits=tuple(limits), budgets=budgets), Consumer("anna"))


class Ping:
    """No store, but its connection: what one round trip takes on this machine at this moment."""

    def __init__(self, store: RedisStore) -> None:
        self._session = store._session

    async def admit(self, rules: Rules, needs: Call) -> Admitted:
        assert self._session.line is not None
        await self._session.line.ask("PING")
        return Admitted(Reservation((), [], []), None)

    def settle(self, rules: Rules, reservation: Reservation, charge: Charge) -> None:
        """Nothing is booked."""


async def calls(store: Store | Ping | None, wanted: Rules, count: int, waits: list[float]) -> None:
    async def caller(number: int) -> None:
        chance = random.Random(number)
        for _ in range(count // IN_FLIGHT):
            began_s = time.perf_counter()
            if store is not None:
                found = store.admit(wanted, Call())
                admitted = found if isinstance(found, Admitted) else await found
                assert admitted.reservation.refused is None
                assert not admitted.reservation.note, "the store was away"
            waits.append(time.perf_counter() - began_s)
            await asyncio.sleep(chance.uniform(*_PROVIDER_S))
            if store is not None:
                store.settle(wanted, admitted.reservation, _CHARGE)

    await asyncio.gather(*(caller(number) for number in range(IN_FLIGHT)))


Run = Callable[[], Awaitable[None]]


async def main(arguments: argparse.Namespace) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="store-") as name,
        RedisProcess(arguments.redis, Path(name) / "redis") as redis,
    ):
        folder = Path(name)
        memory = SharedMemory(LimitStore(folder, 0), Ledger(folder))
        shared = SharedStore(RedisServer((("127.0.0.1", redis.port),)), timeout_s=10.0)
        fold = LedgerFold(shared, "bench", Archive(folder / "spend.sqlite"), Ledger(folder), SpentSince(folder))
        store = open_store(shared, memory, folder, folder / "store", "bench", Metrics())
        loading = asyncio.create_task(fold.run())
        await reached(lambda: store.is_up, what="the connection to the store")
        loading.cancel()  # the supervisor's work, in another process
        rows: dict[str, tuple[Store | Ping | None, Rules]] = {
            "nothing": (None, rules("exact")),
            "a PING": (Ping(store), rules("exact")),
            "shared memory": (memory, rules("exact")),
            "a store, exact": (store, rules("exact")),
            "a store, leased": (store, rules("leased")),
            "memory, and two budgets": (memory, rules("exact", *_BUDGETS)),
            "exact, and two budgets": (store, rules("exact", *_BUDGETS)),
        }
        costs: dict[str, float] = {}
        waits: dict[str, list[float]] = {row: [] for row in rows}
        for _ in range(arguments.rounds):
            for row, (kept, wanted) in rows.items():
                began_s = time.process_time()
                await calls(kept, wanted, arguments.calls, waits[row])
                cost_s = (time.process_time() - began_s) / (arguments.calls // IN_FLIGHT * IN_FLIGHT)
                costs[row] = min(costs.get(row, cost_s), cost_s)
        base_s, memory_s = costs["nothing"], costs["shared memory"] - costs["nothing"]
        print(f"{'':24}{'µs of CPU a call':>18}{'above memory':>14}{'ratio':>7}{'asked p50, µs':>15}")
        for row, cost_s in costs.items():
            own_s = cost_s - base_s
            p50_s = sorted(waits[row])[len(waits[row]) // 2]
            above, ratio = 1e6 * (own_s - memory_s), own_s / memory_s
            print(f"{row:24}{1e6 * own_s:18.1f}{above:14.1f}{ratio:7.1f}{1e6 * p50_s:15.0f}")
        await store.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.store", description=__doc__)
    parser.add_argument("--calls", type=int, default=3_200, help="calls a round (default: 3200)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every row (default: 5)")
    parser.add_argument("--redis", default="8.2", choices=RELEASES, help="release of the server (default: 8.2)")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(parse()))

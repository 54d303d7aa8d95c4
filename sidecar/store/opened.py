"""A worker's store, put together from its parts."""

from __future__ import annotations

from pathlib import Path

from sidecar.domain.snapshot import SharedStore
from sidecar.store.memory import SharedMemory
from sidecar.store.outage import LocalShares, SpentSince
from sidecar.store.redis import RedisStore
from sidecar.store.session import Session
from sidecar.store.unsent import UnsentSettles
from sidecar.telemetry.metrics import Metrics


class _Counters:
    """The metrics of a store, for its parts."""

    def __init__(self, metrics: Metrics) -> None:
        self._unreachable = metrics.store_unreachable()
        self._unsent = metrics.store_unsent()
        self._lost = metrics.store_lost()
        self._decisions = metrics.store_decisions

    def reachable(self, *, yes: bool) -> None:
        self._unreachable.set(0.0 if yes else 1.0)

    def unsent(self, count: int) -> None:
        self._unsent.set(float(count))

    def lost(self) -> None:
        self._lost.inc()

    def decided(self, policy: str) -> None:
        self._decisions(policy).inc()


def open_store(
    store: SharedStore, memory: SharedMemory, run_dir: Path, store_dir: Path, gateway: str, metrics: Metrics
) -> RedisStore:
    """Connects in the background: until it has, calls are decided as if the store were away. `memory` has this machine's shares.
    Raises OSError where the files cannot be had."""
    counters = _Counters(metrics)
    spent = SpentSince(run_dir)
    session = Session(store, gateway.encode(), UnsentSettles(store_dir), counters)
    shares = LocalShares(memory.limits, memory.ledger, spent)

    async def close() -> None:
        spent.close()
        await memory.close()

    return RedisStore(session, shares, memory.ledger, counters, close)

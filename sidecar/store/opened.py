"""Assembles a worker's store from its parts."""

from __future__ import annotations

from pathlib import Path

from sidecar.domain.snapshot import SharedStore
from sidecar.store.counters import StoreMetrics
from sidecar.store.memory import SharedMemory
from sidecar.store.outage import LocalShares, SpentSince
from sidecar.store.redis import RedisStore
from sidecar.store.session import Session
from sidecar.store.unsent import UnsentSettles
from sidecar.telemetry.metrics import Metrics


def open_store(
    store: SharedStore, memory: SharedMemory, run_dir: Path, store_dir: Path, gateway: str, metrics: Metrics
) -> RedisStore:
    """Connects in the background; until then, calls are decided as if the store were unavailable. `memory` holds
    this machine's shares. Raises OSError if the files cannot be opened."""
    counters = StoreMetrics(metrics)
    spent = SpentSince(run_dir)
    session = Session(store, gateway.encode(), UnsentSettles(store_dir), counters)
    shares = LocalShares(memory.limits, memory.ledger, spent)

    async def close() -> None:
        spent.close()
        await memory.close()

    return RedisStore(session, shares, memory.ledger, counters, close)

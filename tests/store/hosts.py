"""A host of several: a real worker's gateway in this process, with its own state directory, in front of a shared Redis."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from sidecar.domain.snapshot import Consumer, RedisServer, SharedStore, Snapshot
from sidecar.gateway.gateway import Gateway
from sidecar.gateway.meter import Meter
from sidecar.limits import LimitStore
from sidecar.spend.archive import Archive, read_since
from sidecar.spend.budgets import Allowance, allowances_of
from sidecar.spend.calendar import today_at
from sidecar.spend.ledger import Charge, Ledger
from sidecar.store import SharedMemory
from sidecar.store.archiving import Archiving
from sidecar.store.fold import LedgerFold
from sidecar.store.opened import open_store
from sidecar.store.outage import SpentSince
from sidecar.store.redis import RedisStore
from tests.gateway.in_process import Core
from tests.processes import reached


def shared(port: int, **more: Any) -> SharedStore:
    """With a timeout that a busy machine keeps; tests of faults have the default."""
    return SharedStore(RedisServer((("127.0.0.1", port),)), **{"timeout_s": 10.0, **more})


class Host(Core):
    """async with Host(snapshot, shared(port), folder) as host: await host.chat()"""

    def __init__(self, snapshot: Snapshot, store: SharedStore, folder: Path, name: str = "") -> None:
        super().__init__(snapshot)
        folder.mkdir(exist_ok=True)
        self.name = name or folder.name
        self._snapshot = snapshot
        self._store = store
        self._folder = folder
        self._run = Path(tempfile.mkdtemp(prefix="run-", dir=folder))  # made for each start, as the gateway does
        self.ledger = Ledger(self._run)
        self.archive = Archive(folder / "spend.sqlite")

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.archive.load(self.ledger, today_at(time.time()))
        memory = SharedMemory(LimitStore(self._run, 0), Ledger(self._run))
        self.store: RedisStore = open_store(
            self._store, memory, self._run, self._folder / "store", self.name, self.metrics
        )
        self.meter = Meter(self.metrics, self.store)
        self.gateway = Gateway(self._snapshot, self._client, self.metrics, meter=self.meter)
        self._spent = SpentSince(self._run)
        self.fold = LedgerFold(self._store, self.name, self.archive, self.ledger, self._spent)
        self.fold.budgets = self._budgets
        self.archiving = None if self._store.archive is None else Archiving(self._store, self.name, self.fold)
        runs = [self.fold.run()] + ([] if self.archiving is None else [self.archiving.run()])
        self._folding = [loop.create_task(each) for each in runs]
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.meter.close()
        for each in self._folding:
            each.cancel()
        await asyncio.gather(*self._folding, return_exceptions=True)
        await self.fold.catch_up()
        if self.archiving is not None:
            await self.archiving.catch_up()
        self._spent.close()
        self.ledger.close()
        self.archive.close()
        await super().__aexit__(*error)

    def _budgets(self) -> list[Allowance]:
        routes = self._snapshot.routes.values()
        return [each for route in routes for each in allowances_of(route, Consumer("local"))]

    @property
    def is_up(self) -> bool:
        return self.store._session.is_up

    async def up(self) -> None:
        await reached(lambda: self.is_up, what="the connection to the store")

    def booked(self) -> Charge:
        """Of all gateways, as this one's archive has it."""
        lines = read_since(self._folder / "spend.sqlite", "2000-01-01")
        return Charge(*map(sum, zip(*(line.counts for line in lines), strict=True))) if lines else Charge()

    async def has_booked(self, expected: Callable[[Charge], bool]) -> None:
        await reached(lambda: expected(self.booked()), 20, what="the archive")

"""The supervisor's side of what the workers count together: frees the slots of dead workers, archives spend every
second, and exposes budgets as metrics."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.domain.snapshot import Consumer, SharedStore, Snapshot
from sidecar.limits import LimitStore
from sidecar.spend.archive import Archive
from sidecar.spend.budgets import Allowance, allowances_of
from sidecar.spend.calendar import first_of_month, today_at
from sidecar.spend.ledger import Ledger
from sidecar.supervisor.start.start_error import StartError

if TYPE_CHECKING:
    from prometheus_client import Metric

    from sidecar.store.archiving import Archiving
    from sidecar.store.fold import LedgerFold

_log = logging.getLogger("sidecar")
# A power failure loses what was spent since the last flush.
_FLUSH_S = 1.0
# Budgets with `each` have one for every pair that spent something.
SERIES_MAX = 1_000
_NOBODY = Consumer("nobody")


class SpendKeeper:
    """Opened before the first worker starts, closed after the last one has ended."""

    def __init__(
        self,
        limits: LimitStore,
        ledger: Ledger,
        archive: Archive,
        now_s: Callable[[], float],
        fold: LedgerFold | None = None,
        archiving: Archiving | None = None,
    ) -> None:
        self._limits = limits
        self._ledger = ledger
        self._archive = archive
        self._now_s = now_s
        self._fold = fold
        self._archiving = archiving
        self._snapshot: Snapshot | None = None
        self._failing = False
        if fold is not None:
            fold.budgets = self._allowances

    @classmethod
    def open(
        cls,
        run_dir: Path,
        archive_path: Path,
        now_s: Callable[[], float] = time.time,
        store: SharedStore | None = None,
        gateway: str = "",
    ) -> SpendKeeper:
        """Makes the shared tables and puts what was spent this month into them. With a `store` the archive gets the rows of all
        gateways that share it, of which this is `gateway`. Raises StartError."""
        try:
            limits = LimitStore(run_dir, 0)
            ledger = Ledger(run_dir)
        except OSError as error:
            raise StartError(f"The shared tables need 15 MB in {run_dir}: {error.strerror}. Make room.") from None
        try:
            archive = Archive(archive_path)
            archive.load(ledger, today_at(now_s()))
        except (sqlite3.Error, OSError, ValueError) as error:
            raise StartError(
                f"The record of spend {archive_path} cannot be used: {error}. Repair it, or move it away."
            ) from None
        if store is None:
            return cls(limits, ledger, archive, now_s)
        from sidecar.store.fold import LedgerFold
        from sidecar.store.outage import SpentSince

        fold = LedgerFold(store, gateway, archive, ledger, SpentSince(run_dir), now_s)
        archiving = None
        if store.archive is not None:
            from sidecar.spend.shared_archive import MISSING, is_installed
            from sidecar.store.archiving import Archiving

            if not is_installed():
                raise StartError(MISSING)
            archiving = Archiving(store, gateway, fold)
        return cls(limits, ledger, archive, now_s, fold, archiving)

    def use(self, snapshot: Snapshot) -> None:
        """Sets the snapshot whose budgets are shown."""
        self._snapshot = snapshot

    def forget_worker(self, slot: int) -> None:
        """The process is gone, and so are its running calls."""
        self._limits.forget_worker(slot)

    async def keep(self) -> None:
        """Flushes until it is cancelled, in a thread, so that a hanging disk blocks nothing else. With a store,
        folds its rows."""
        if self._fold is not None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fold.run())
                if self._archiving is not None:
                    group.create_task(self._archiving.run())
        while True:
            await asyncio.sleep(_FLUSH_S)
            await asyncio.to_thread(self.flush)

    async def prepare(self) -> None:
        """Prepares the store before the first worker, but not for long: a gateway also starts while its store is
        unavailable."""
        if self._fold is not None:
            await self._fold.prepare()

    async def catch_up(self) -> None:
        """Call it after the last worker: its last calls are in the ledger of the store."""
        if self._fold is not None:
            await self._fold.catch_up()
        if self._archiving is not None:
            await self._archiving.catch_up()

    def flush(self) -> None:
        if self._fold is not None:
            return
        try:
            self._archive.write(self._ledger.lines())
        except sqlite3.Error as error:
            if not self._failing:
                _log.error("Cannot save the spend: %s. Retrying.", error)
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        """Flushes once more, then closes."""
        self.flush()
        self._archive.close()
        self._ledger.close()
        self._limits.close()

    def collect(self) -> Iterable[Metric]:
        """Collects the budgets of the newest snapshot, those of routes first, SERIES_MAX at most."""
        from prometheus_client.core import GaugeMetricFamily

        today = today_at(self._now_s())
        family = GaugeMetricFamily(
            "sidecar_budget_used_ratio",
            "Share of a budget that is spent; calls are refused from 1. Without a consumer label, the budget is "
            "that of the whole route.",
            labels=("route", "consumer", "per"),
        )
        shown: set[tuple[str, str, str]] = set()
        for each in self._allowances():
            labels = (each.route, each.consumer, each.per)
            if labels in shown or not each.micro_dollars:
                continue
            if len(shown) == SERIES_MAX:
                break
            shown.add(labels)
            family.add_metric(labels, self._ledger.spent(each.key, each.per, today) / each.micro_dollars)
        return [family, *self._of_store()]

    def _of_store(self) -> Iterable[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        if self._fold is None:
            return
        waiting = "Rows of the shared ledger that this gateway's archive does not have yet."
        yield GaugeMetricFamily("sidecar_ledger_waiting_rows", waiting, self._fold.stream.waiting)
        expired = "Reservations of limits and budgets that expired because nobody settled them, of all gateways."
        yield CounterMetricFamily("sidecar_store_expired_reservations", expired, value=self._fold.expired)
        if self._archiving is not None:
            unreachable = "Whether the archive in Postgres cannot be filled."
            yield GaugeMetricFamily("sidecar_archive_unreachable", unreachable, float(self._archiving.unreachable))
            missing = "Rows of the shared ledger that the archive in Postgres does not have yet."
            yield GaugeMetricFamily("sidecar_archive_waiting_rows", missing, self._fold.stream.not_archived)

    def _allowances(self) -> Iterable[Allowance]:
        snapshot = self._snapshot
        if snapshot is None:
            return
        for route in snapshot.routes.values():
            yield from (each for each in allowances_of(route, _NOBODY) if not each.consumer)
        consumers = {each.name: each for each in snapshot.consumers or ()}
        for consumer in consumers.values():
            if consumer.budgets and snapshot.routes:
                some = next(iter(snapshot.routes.values()))
                yield from (each for each in allowances_of(some, consumer) if not each.route)
        yield from self._of_pairs(snapshot, consumers)

    def _of_pairs(self, snapshot: Snapshot, consumers: dict[str, Consumer]) -> Iterable[Allowance]:
        budgets = [each.budgets for each in snapshot.routes.values()] + [each.budgets for each in consumers.values()]
        if not any(budget.each for some in budgets for budget in some):
            return
        lines = (
            self._ledger.lines() if self._fold is None else self._archive.since(first_of_month(today_at(self._now_s())))
        )
        for line in lines:
            route = snapshot.routes.get(line.route)
            if route is not None:
                consumer = consumers.get(line.consumer, Consumer(line.consumer))
                yield from (each for each in allowances_of(route, consumer) if each.route and each.consumer)

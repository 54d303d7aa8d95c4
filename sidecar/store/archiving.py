"""Moves rows of the store's ledger into the Postgres that several gateways share, in addition to each gateway's own
copy.

All gateways form one group on the stream: each takes some rows, writes them with their ids and their sums in one
transaction, and acknowledges them. Rows of a gateway that died are taken over, and recognised by their ids. While
Postgres is unavailable, rows stay in the stream.

A gateway that connects reconciles both archives first: it learns what the others spent, and Postgres gets what it
has missed or what was spent before it was configured.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

from sidecar.domain.snapshot import SharedStore
from sidecar.spend.archive import SURELY_RECENT_S, Booking
from sidecar.spend.calendar import date_of
from sidecar.spend.shared_archive import ArchiveError, SharedArchive, more
from sidecar.store.connect import Connector
from sidecar.store.fold import LedgerFold
from sidecar.store.line import Line, StoreError
from sidecar.store.local_copy import row_of, row_of_text
from sidecar.store.stream import SHARED

_log = logging.getLogger(__name__)
_PAUSE_S = 0.25
# Random between these two, so that gateways do not reconnect in lockstep.
_PROBE_S = (0.5, 1.0)
_TAKE_OVER_S = 5.0
_SWEEP_S = 3_600.0
# Both archives are compared from the previous month on: older days do not change.
_BACK_DAYS = 32
# How long to wait for it before the sums of an empty store are restored; calls are decided without the store until
# then.
_ASK_S = 1.5
_LAST_S = 2.0
_ALL_DAYS = "0001-01-01"


class Archiving:
    """The supervisor's side of the archive. `fold` fills this gateway's own copy."""

    def __init__(self, store: SharedStore, gateway: str, fold: LedgerFold) -> None:
        assert store.archive is not None
        self._store = store
        self._server = store.archive
        self._gateway = gateway
        self._fold = fold
        self._copy, self._stream = fold.copy, fold.stream
        self._connector = Connector(store)
        self._failing = False
        self.unreachable = True
        fold.complete = self.tell

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                await self._follow()
            except ArchiveError as error:
                if not self._failing:
                    _log.warning("The archive in Postgres cannot be filled: %s. Its rows stay in the store.", error)
                self._failing = self.unreachable = True
            except (StoreError, sqlite3.Error):
                pass  # LedgerFold reports it
            await asyncio.sleep(random.uniform(*_PROBE_S))

    async def tell(self) -> bool:
        """Copies what the archive has in excess into this gateway's copy, before the sums of an empty store are
        restored from that. Returns False without an answer."""
        with suppress(ArchiveError, TimeoutError):
            async with asyncio.timeout(_ASK_S), self._opened() as archive:
                async with archive.alone(), self._copy.turn:
                    await self._learn(archive)
                return True
        return False

    async def catch_up(self) -> None:
        """Moves what is in the stream now, when the gateway stops. Another gateway, or the next start, moves the
        rest."""
        with suppress(ArchiveError, StoreError, TimeoutError):
            async with asyncio.timeout(_LAST_S):
                connected = await self._connector.connect()
                try:
                    async with self._opened() as archive:
                        await self._move_all(connected.line, archive)
                finally:
                    connected.line.abort()

    async def _follow(self) -> None:
        connected = await self._connector.connect()
        line = connected.line
        try:
            # First, so that rows are kept for it from now on.
            await self._stream.make_group(line, SHARED)
            async with self._opened() as archive:
                await self._move_all(line, archive)
                await self._fold.following.wait()
                await self._make_alike(line, archive)
                if self._failing:
                    _log.info("The archive in Postgres is filled again.")
                self._failing = self.unreachable = False
                await self._keep_moving(line, archive)
        finally:
            line.abort()

    async def _keep_moving(self, line: Line, archive: SharedArchive) -> None:
        taken_over = time.monotonic()
        swept = taken_over - random.uniform(0, _SWEEP_S)
        while True:
            if not await self._move(line, archive, ">"):
                await asyncio.sleep(_PAUSE_S)
            now = time.monotonic()
            if now - taken_over > _TAKE_OVER_S:
                taken_over = now
                while await self._book(line, archive, await self._stream.take_over(line, SHARED)):
                    pass
                await archive.is_there()
            if now - swept > _SWEEP_S:
                swept = now
                await archive.sweep()

    async def _move_all(self, line: Line, archive: SharedArchive) -> None:
        while await self._move(line, archive, "0"):  # read but not acknowledged by an earlier process
            pass
        while await self._move(line, archive, ">"):
            pass

    async def _move(self, line: Line, archive: SharedArchive, start: str) -> int:
        return await self._book(line, archive, await self._stream.read(line, SHARED, start))

    async def _book(self, line: Line, archive: SharedArchive, entries: list[Any]) -> int:
        await archive.book(_rows(entries))
        await self._stream.acknowledge(line, SHARED, entries)
        return len(entries)

    async def _make_alike(self, line: Line, archive: SharedArchive) -> None:
        """Reconciles both archives while no other gateway writes to Postgres. First, rows of the stream are added
        to both, and so are those that may arrive again if the store has lost its data. Then, of each line, the
        side with more calls includes all calls of the other."""
        async with archive.alone(), self._copy.turn:
            await self._fold.read_up(line)
            await archive.book(_rows(await self._stream.not_acknowledged(line, SHARED)))
            recent = [row_of_text(text) for _, text in await self._copy.recent(SURELY_RECENT_S)]
            await archive.book(row for row in recent if isinstance(row, Booking))
            await self._learn(archive)
            first_day = _ALL_DAYS if await archive.is_empty() else self._first_day()
            theirs = await archive.lines(first_day)
            await archive.correct(more(await self._copy.lines(first_day), theirs))

    async def _learn(self, archive: SharedArchive) -> None:
        """Rows first, because those that arrive again must be recognised then."""
        await self._copy.book(await archive.recent(SURELY_RECENT_S))
        first_day = self._first_day()
        await self._copy.add(more(await archive.lines(first_day), await self._copy.lines(first_day)))

    def _first_day(self) -> str:
        return (
            (date.fromisoformat(date_of(self._copy.today.day)) - timedelta(days=_BACK_DAYS)).replace(day=1).isoformat()
        )

    def _opened(self) -> SharedArchive:
        return SharedArchive(self._server, self._store.installation)


def _rows(entries: Iterable[Any]) -> list[Booking]:
    return [row for row in map(row_of, entries) if isinstance(row, Booking)]

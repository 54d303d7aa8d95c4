"""The ledger of a shared store: its rows are folded into this gateway's archive, each exactly once, and the sums
are restored from the archive if the store has lost them.

Every gateway has its own consumer group on the stream, so every archive receives all rows of all gateways. A row is
written with its id in the same transaction as the sum, then acknowledged, then trimmed once all groups have passed
it. A gateway that dies in between reads it again and recognises it. Sums of the store are set, never incremented.
archiving.py fills an archive in Postgres.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from sidecar.domain.snapshot import SharedStore
from sidecar.spend.archive import RECENT_S, Archive, Booking
from sidecar.spend.budgets import Allowance
from sidecar.spend.ledger import Ledger
from sidecar.store.connect import Connector
from sidecar.store.line import Line, StoreError, Unanswered, answer
from sidecar.store.local_copy import Expired, LocalCopy, row_of
from sidecar.store.operations import prefix_of
from sidecar.store.outage import SpentSince
from sidecar.store.stream import ROWS_MAX, LedgerStream
from sidecar.store.sums import raise_sums, set_sums

_log = logging.getLogger(__name__)
_PAUSE_S = 0.25
_PROBE_S = (0.1, 0.25)
_TRIM_S = 1.0
# After the store lost its data, gateways need this long to recreate their groups. Nothing is trimmed before.
_TRIM_LATER_S = 30.0
_GROUPS_S = 60.0
# Lifetime of the lock for loading the sums.
_LOADING_MS = 5_000
# An archive that begins in the middle of the month waits for one that does not.
_INCOMPLETE_WAITS_S = 1.0
_PAGE = 65_536
_START_S = 2.0  # a start does not wait any longer for it; twice the wait for archives that know more
# How often the sums of newly configured budgets are raised to what the ledger has.
_RAISE_S = 5.0
# After the store lost its data, not before workers have sent what it lacks (session.py); otherwise that would count
# twice.
_RAISE_LATER_S = 60.0


class LedgerFold:
    """The supervisor's side of the store. `spent` is what this machine let pass during an outage; it is cleared
    when the store returns."""

    def __init__(
        self,
        store: SharedStore,
        gateway: str,
        archive: Archive,
        ledger: Ledger,
        spent: SpentSince,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._prefix = prefix_of(store.installation)
        self._gateway = gateway
        self._connector = Connector(store)
        self.copy = LocalCopy(archive, ledger, now_s)
        self.stream = LedgerStream(store, gateway)
        self.following = asyncio.Event()  # rows are read as they arrive
        self._archive = archive
        self._ledger = ledger
        self._spent = spent
        self._now_s = now_s
        self._empty_since: float | None = None
        self._failing = False
        self._raise_from = 0.0
        self._loaded = False  # the store's sums come from this archive
        self.budgets: Callable[[], Iterable[Allowance]] = tuple  # budgets of the configuration
        # Whether another archive has supplied what it knows; checked before an empty store gets its sums.
        self.complete: Callable[[], Awaitable[bool]] | None = None
        self.expired = 0  # reservations that expired unsettled, perhaps of a killed worker

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                await self._follow()
            except (StoreError, sqlite3.Error) as error:
                if not self._failing:
                    _log.warning("Cannot archive the ledger of the store: %s. Retrying.", error)
                self._failing = True
            await asyncio.sleep(random.uniform(*_PROBE_S))

    async def _follow(self) -> None:
        connected = await self._connector.connect()
        line = connected.line
        try:
            epoch = connected.epoch or await self._load(line)
            await self._join(line, epoch)
            await self._read_all(line, "0")  # read but not acknowledged by an earlier process
            self.following.set()
            self._spent.clear()
            if self._failing:
                _log.info("The ledger of the store is being archived again.")
            self._failing = False
            looked = raised = counted = 0.0
            trim_from = time.monotonic() + _TRIM_LATER_S
            while True:
                more = await self._fold(line, ">")
                now = time.monotonic()
                if now - counted > _TRIM_S:
                    counted = now
                    oldest = await self.stream.count(line, drop_groups=now > trim_from and now - looked > _GROUPS_S)
                    looked = now if now - looked > _GROUPS_S else looked
                    if now > trim_from:
                        await self.stream.trim(line, oldest)
                if more < ROWS_MAX:
                    if now - raised > _RAISE_S and now > self._raise_from:
                        raised = now
                        await raise_sums(line, self._prefix, self._ledger, self.budgets(), self.copy.today)
                    await asyncio.sleep(_PAUSE_S)
        finally:
            self.following.clear()
            line.abort()

    async def prepare(self) -> None:
        """Restores the sums of an empty store before the workers start, so that it is ready for the first calls.
        run() retries whatever fails here."""
        with suppress(sqlite3.Error, TimeoutError):
            async with asyncio.timeout(_START_S):
                while True:
                    if await self._is_loaded():
                        return
                    await asyncio.sleep(random.uniform(*_PROBE_S))

    async def _is_loaded(self) -> bool:
        """Loads the sums if it is this gateway's turn. Returns whether they are loaded."""
        try:
            connected = await self._connector.connect()
        except StoreError:
            return False
        try:
            return connected.epoch is not None or bool(await self._load(connected.line))
        except StoreError:
            return False
        finally:
            connected.line.abort()

    async def catch_up(self) -> None:
        """Folds what is in the stream now, when the gateway stops. Does nothing if the store is unavailable."""
        try:
            connected = await self._connector.connect()
        except StoreError:
            return
        try:
            if connected.epoch is not None:
                await self._join(connected.line, connected.epoch)
                await self._read_all(connected.line, "0")
                await self._read_all(connected.line, ">")
        except (StoreError, sqlite3.Error):
            return
        finally:
            connected.line.abort()

    async def _join(self, line: Line, epoch: bytes) -> None:
        made = await self.stream.make_group(line, self._gateway)
        number = int(epoch.split()[1], 16) >> 1
        known = self._archive.epoch == number
        if made or not known:
            since_s = 0 if self._loaded else int(self._now_s())
            await asyncio.to_thread(self._archive.follows, number, since_s)
            self._loaded = False
        if not known:
            self._raise_from = time.monotonic() + _RAISE_LATER_S

    async def read_up(self, line: Line) -> None:
        """Reads all rows in the stream; the caller holds the turn of the copy."""
        while await self._fold_some(line, ">"):
            pass

    async def _read_all(self, line: Line, start: str) -> None:
        while await self._fold(line, start):
            pass

    async def _fold(self, line: Line, start: str) -> int:
        async with self.copy.turn:
            return await self._fold_some(line, start)

    async def _fold_some(self, line: Line, start: str) -> int:
        entries = await self.stream.read(line, self._gateway, start)
        rows = [row_of(each) for each in entries]
        self.expired += sum(isinstance(each, Expired) for each in rows)
        await self.copy.book([each for each in rows if isinstance(each, Booking)])
        await self.stream.acknowledge(line, self._gateway, entries)
        return len(entries)

    async def _load(self, line: Line) -> bytes:
        """Restores the sums of an empty store from the archive. One gateway does it; raises Unanswered in the
        others."""
        now = time.monotonic()
        self._empty_since = self._empty_since or now
        month = self.copy.today
        complete = self.complete is not None and await self.complete()
        complete = complete or await asyncio.to_thread(self._archive.is_complete, month)
        if not complete and now - self._empty_since < _INCOMPLETE_WAITS_S:
            raise Unanswered("its sums are lost, and another gateway may know more of them")
        epoch = self._prefix + b"epoch"
        mine = await answer(line, "SET", epoch, f"loading {self._gateway}", "NX", "PX", _LOADING_MS)
        if mine is None:
            raise Unanswered("another gateway loads its sums")
        await set_sums(line, self._prefix, self._ledger, month)
        for id_, text in await self.copy.recent(RECENT_S):
            # Other archives may lack it, and its worker's settlement will not add it again.
            await answer(line, "XADD", self.stream.key, "*", "e", text)
            host, _, number = id_.rpartition(".")
            page, bit = divmod(int(number), _PAGE)
            bits = self._prefix + f"done:{host}:{page}".encode()
            await answer(line, "SETBIT", bits, bit, 1)
            await answer(line, "PEXPIRE", bits, 86_400_000)
        await self.stream.make_groups_again(line)
        ready = f"ready {random.getrandbits(64):016x}".encode()
        await answer(line, "SET", epoch, ready)
        self._empty_since, self._loaded = None, True
        _log.info("The store was empty: the sums of this month are loaded from this gateway's archive.")
        return ready

"""Money as a ledger: rows of the store's stream are folded into this gateway's archive, each of them once, and out of the archive
the sums come back if the store has lost them.

Every gateway has a group of its own on the stream, and so every archive has all rows of all gateways. A row is written with its
id in one transaction with the sum, then acknowledged, then trimmed once all groups are past it: whoever dies in between reads
it again, and knows it. Sums are set, never added to.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from sidecar.domain.snapshot import SharedStore
from sidecar.spend.archive import Archive, Booking
from sidecar.spend.budgets import Allowance
from sidecar.spend.calendar import today_at
from sidecar.spend.ledger import Charge, Ledger, Line
from sidecar.store.connect import Connector
from sidecar.store.line import Line as Connection
from sidecar.store.line import Refused, StoreError, Unanswered, answer
from sidecar.store.operations import prefix_of
from sidecar.store.outage import SpentSince
from sidecar.store.sums import raise_sums, set_sums

_log = logging.getLogger(__name__)
# A transaction of so many rows takes 3 ms of a thread.
_ROWS_MAX = 500
_PAUSE_S = 0.25
_PROBE_S = (0.1, 0.25)
_TRIM_S = 1.0
# Gateways that come back to a store without data make their groups again: nothing is trimmed before.
_TRIM_LATER_S = 30.0
_GROUPS_S = 60.0
# A gateway that is away for longer is given up, so that the stream does not grow for ever: 200 bytes a call.
_GROUP_KEPT_MS = 86_400_000
# 200 MB: from then on it is given up sooner.
_ROWS_KEPT_MAX = 1_000_000
_GROUP_KEPT_CROWDED_MS = 600_000
# Whoever loads the sums has so long for it.
_LOADING_MS = 5_000
# An archive that begins in the middle of the month waits for one that does not.
_INCOMPLETE_WAITS_S = 1.0
_PAGE = 65_536
_START_S = 2.0  # a start waits no longer for it, twice as long as for archives that know more
# A budget that a configuration adds begins at what the ledger has; a counter is never below the ledger for longer.
_RAISE_S = 5.0
# Not in a store that has lost its data until workers have sent again what it lacks (session.py): it would count twice.
_RAISE_LATER_S = 60.0


class LedgerFold:
    """The supervisor's end of the store. `spent` is what this machine let pass without it: nothing, once it is there again."""

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
        self._stream = self._prefix + b"ledger"
        self._gateway = gateway
        self._connector = Connector(store)
        self._archive = archive
        self._ledger = ledger
        self._spent = spent
        self._now_s = now_s
        self._empty_since: float | None = None
        self._failing = False
        self._groups: set[str] = set()  # that were seen on the stream
        self._raise_from = 0.0
        self._loaded = False  # the store's sums are this archive's
        self.budgets: Callable[[], Iterable[Allowance]] = tuple  # those of the configuration
        self.expired = 0  # reservations that nobody settled: calls of a killed worker, perhaps
        self.waiting = 0  # rows of the stream that this gateway has not folded

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._follow()
            except (StoreError, sqlite3.Error) as error:
                if not self._failing:
                    _log.warning("The ledger of the store is not folded: %s. The gateway keeps trying.", error)
                self._failing = True
            await asyncio.sleep(random.uniform(*_PROBE_S))

    async def _follow(self) -> None:
        connected = await self._connector.connect()
        line = connected.line
        try:
            epoch = connected.epoch or await self._load(line)
            await self._join(line, epoch)
            while await self._fold(line, "0"):  # what a former life had read
                pass
            self._spent.clear()
            if self._failing:
                _log.info("The ledger of the store is folded again.")
            self._failing = False
            looked = raised = 0.0
            trimmed = time.monotonic() + _TRIM_LATER_S - _TRIM_S
            while True:
                more = await self._fold(line, ">")
                now = time.monotonic()
                if now - trimmed > _TRIM_S:
                    trimmed = now
                    await self._trim(line, drop_groups=now - looked > _GROUPS_S)
                    looked = now if now - looked > _GROUPS_S else looked
                if more < _ROWS_MAX:
                    if now - raised > _RAISE_S and now > self._raise_from:
                        raised = now
                        await raise_sums(line, self._prefix, self._ledger, self.budgets(), today_at(self._now_s()))
                    await asyncio.sleep(_PAUSE_S)
        finally:
            line.abort()

    async def prepare(self) -> None:
        """Before the workers start: a store without sums gets them, so that the first calls find it ready. What fails here is
        tried again by run()."""
        with suppress(sqlite3.Error, TimeoutError):
            async with asyncio.timeout(_START_S):
                while True:
                    if await self._is_loaded():
                        return
                    await asyncio.sleep(random.uniform(*_PROBE_S))

    async def _is_loaded(self) -> bool:
        """Loads the sums, if it is this gateway's turn."""
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
        """What is in the stream now, once: when the gateway ends. Without a store there is nothing to do."""
        try:
            connected = await self._connector.connect()
        except StoreError:
            return
        try:
            if connected.epoch is not None:
                await self._join(connected.line, connected.epoch)
                while await self._fold(connected.line, "0") or await self._fold(connected.line, ">"):
                    pass
        except (StoreError, sqlite3.Error):
            return
        finally:
            connected.line.abort()

    async def _join(self, line: Connection, epoch: bytes) -> None:
        made = await self._make_group(line, self._gateway)
        number = int(epoch.split()[1], 16) >> 1
        known = self._archive.epoch == number
        if made or not known:
            since_s = 0 if self._loaded else int(self._now_s())
            await asyncio.to_thread(self._archive.follows, number, since_s)
            self._loaded = False
        if not known:
            self._raise_from = time.monotonic() + _RAISE_LATER_S

    async def _make_group(self, line: Connection, name: str) -> bool:
        """Whether there was none. It begins with the oldest row."""
        try:
            await answer(line, "XGROUP", "CREATE", self._stream, name, "0", "MKSTREAM")
        except Refused as error:
            if error.code != "BUSYGROUP":
                raise
            return False
        return True

    async def _fold(self, line: Connection, start: str) -> int:
        found = await answer(
            line, "XREADGROUP", "GROUP", self._gateway, "1", "COUNT", _ROWS_MAX, "STREAMS", self._stream, start
        )
        entries = found[0][1] if found else []
        if not entries:
            return 0
        rows = [row for row in map(self._row, entries) if row is not None]
        fresh = await asyncio.to_thread(self._archive.book, rows, int(self._now_s()))
        today = today_at(self._now_s())
        for booking in fresh:
            if today_at(booking.line.day * 86_400).month == today.month:
                self._ledger.restore(booking.line, today)
        await answer(line, "XACK", self._stream, self._gateway, *(entry[0] for entry in entries))
        return len(entries)

    def _row(self, entry: Sequence[Any]) -> Booking | None:
        """None for what has been trimmed, and for a reservation that expired."""
        if not entry[1]:
            return None
        try:
            whole = entry[1][1].decode()
            id_, day, text = whole.split(" ", 2)
            if text == "expired":
                self.expired += 1
                return None
            route, consumer, *counts = json.loads(text)
            return Booking(id_, Line(int(day), str(consumer), str(route), Charge(*map(int, counts))), whole)
        except (ValueError, TypeError):
            _log.error(
                "A row of the store's ledger is not understood, and is not in the archive: %r", entry[1][1][:200]
            )
            return None

    async def _trim(self, line: Connection, *, drop_groups: bool) -> None:
        """Only what every group is past: from the oldest row that is pending anywhere, else the last that was delivered."""
        gone = await self._gone(line) if drop_groups else ()
        oldest: list[tuple[int, int]] = []
        for group in await answer(line, "XINFO", "GROUPS", self._stream):
            facts = dict(zip(group[::2], group[1::2], strict=True))
            name, last = facts[b"name"].decode(), facts[b"last-delivered-id"]
            if name in gone:
                _log.warning("The gateway %s is away, and its rows of the ledger are given up.", name)
                await answer(line, "XGROUP", "DESTROY", self._stream, name)
                self._groups.discard(name)
                continue
            self._groups.add(name)
            if facts[b"pending"]:
                last = (await answer(line, "XPENDING", self._stream, name))[1] or last
            oldest.append(_id_of(last))
            if name == self._gateway:
                self.waiting = int(facts.get(b"lag") or 0)
        if oldest:
            await answer(line, "XTRIM", self._stream, "MINID", "-".join(map(str, min(oldest))))

    async def _gone(self, line: Connection) -> set[str]:
        """Groups of gateways that are not seen any more and hold up rows for too long."""
        first = await answer(line, "XRANGE", self._stream, "-", "+", "COUNT", 1)
        if not first:
            return set()
        seconds, _ = await answer(line, "TIME")
        crowded = await answer(line, "XLEN", self._stream) > _ROWS_KEPT_MAX
        before_ms = int(seconds) * 1000 - (_GROUP_KEPT_CROWDED_MS if crowded else _GROUP_KEPT_MS)
        there = {self._gateway.encode(), *await answer(line, "ZRANGE", self._prefix + b"gateways", 0, -1)}
        found = set()
        for group in await answer(line, "XINFO", "GROUPS", self._stream):
            facts = dict(zip(group[::2], group[1::2], strict=True))
            read_ms = max(_id_of(facts[b"last-delivered-id"])[0], _id_of(first[0][0])[0])
            if facts[b"name"] not in there and read_ms < before_ms:
                found.add(facts[b"name"].decode())
        return found

    async def _load(self, line: Connection) -> bytes:
        """The sums of an empty store, out of the archive. One gateway does it; raises Unanswered for the others."""
        now = time.monotonic()
        self._empty_since = self._empty_since or now
        month = today_at(self._now_s())
        complete = await asyncio.to_thread(self._archive.is_complete, month)
        if not complete and now - self._empty_since < _INCOMPLETE_WAITS_S:
            raise Unanswered("its sums are lost, and another gateway may know more of them")
        epoch = self._prefix + b"epoch"
        mine = await answer(line, "SET", epoch, f"loading {self._gateway}", "NX", "PX", _LOADING_MS)
        if mine is None:
            raise Unanswered("another gateway loads its sums")
        await set_sums(line, self._prefix, self._ledger, month)
        for id_, text in await asyncio.to_thread(self._archive.recent):
            # Other archives may not have it yet, and its worker's settle will not add it again.
            await answer(line, "XADD", self._stream, "*", "e", text)
            host, _, number = id_.rpartition(".")
            page, bit = divmod(int(number), _PAGE)
            bits = self._prefix + f"done:{host}:{page}".encode()
            await answer(line, "SETBIT", bits, bit, 1)
            await answer(line, "PEXPIRE", bits, 86_400_000)
        for group in self._groups:
            await self._make_group(line, group)
        ready = f"ready {random.getrandbits(64):016x}".encode()
        await answer(line, "SET", epoch, ready)
        self._empty_since, self._loaded = None, True
        _log.info("The store was empty: the sums of this month are loaded from this gateway's archive.")
        return ready


def _id_of(text: bytes) -> tuple[int, int]:
    milliseconds, _, number = text.decode().partition("-")
    return int(milliseconds), int(number or 0)

"""This gateway's own copy of what all gateways spent: the file on its disk, and the sums in memory derived from it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sidecar.spend.archive import Archive, Booking
from sidecar.spend.calendar import Today, today_at
from sidecar.spend.ledger import Charge, Ledger, Line

_log = logging.getLogger(__name__)


class LocalCopy:
    """Raises sqlite3.Error if the file cannot be used. Hold `turn` while it must not change."""

    def __init__(self, archive: Archive, ledger: Ledger, now_s: Callable[[], float] = time.time) -> None:
        self.archive = archive
        self.ledger = ledger
        self.turn = asyncio.Lock()
        self._now_s = now_s

    @property
    def today(self) -> Today:
        return today_at(self._now_s())

    async def book(self, rows: Iterable[Booking]) -> None:
        """Adds each row once, however often it arrives."""
        fresh = await asyncio.to_thread(self.archive.book, rows, int(self._now_s()))
        self._count(each.line for each in fresh)

    async def add(self, lines: Sequence[Line]) -> None:
        """Adds what another archive has in excess."""
        await asyncio.to_thread(self.archive.add, lines)
        self._count(lines)

    async def lines(self, first_day: str) -> list[Line]:
        return await asyncio.to_thread(self.archive.since, first_day)

    async def recent(self, seconds: int) -> list[tuple[str, str]]:
        """Ids and texts of rows that were added within this time."""
        return await asyncio.to_thread(self.archive.recent, int(self._now_s()) - seconds)

    def _count(self, lines: Iterable[Line]) -> None:
        today = self.today
        for line in lines:
            if today_at(line.day * 86_400).month == today.month:
                self.ledger.restore(line, today)


class Expired(str):
    """The id of a reservation that expired unsettled."""

    __slots__ = ()


def row_of(entry: Sequence[Any]) -> Booking | Expired | None:
    """Parses an entry of the store's stream; None for a trimmed or invalid one."""
    return row_of_text(entry[1][1].decode("utf-8", "replace")) if entry and entry[1] else None


def row_of_text(whole: str) -> Booking | Expired | None:
    """None if it is invalid."""
    try:
        id_, day, text = whole.split(" ", 2)
        if text == "expired":
            return Expired(id_)
        route, consumer, *counts = json.loads(text)
        return Booking(id_, Line(int(day), str(consumer), str(route), Charge(*map(int, counts))), whole)
    except (ValueError, TypeError):
        _log.error("A row of the store's ledger is not understood, and is not in the archive: %r", whole[:200])
        return None

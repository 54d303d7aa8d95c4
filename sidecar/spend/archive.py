"""Spend on disk: one SQLite table, written only by the supervisor, read by anyone with access to the file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, TypeVar

from sidecar.spend.calendar import DAY_S, Today, date_of, day_of, first_of_month
from sidecar.spend.ledger import COUNTERS, Charge, Ledger, Line

_Read = TypeVar("_Read")
FILE_NAME = "spend.sqlite"
_FILE_MODE = 0o600
# How long a flush waits for another program that holds the file (a reader, a backup) before it leaves the work to
# its next turn.
_BUSY_S = 1.0
_COLUMNS = ("day", "consumer", "route", *COUNTERS)
_SCHEMA = f"""CREATE TABLE IF NOT EXISTS spend (
    day TEXT NOT NULL, consumer TEXT NOT NULL, route TEXT NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in COUNTERS)},
    PRIMARY KEY (day, consumer, route)
) WITHOUT ROWID"""
# With a shared store: ids of added bookings, and since when this file contains the rows of all gateways.
_SHARED = """CREATE TABLE IF NOT EXISTS booked (id TEXT PRIMARY KEY, at_s INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS recent (at_s INTEGER NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"""
# A booking may arrive again for a day; 30 bytes each.
_IDS_KEPT_S = 2 * DAY_S
_SWEEP_S = 3_600
# Bookings this recent may be missing elsewhere if the store loses its data now, and may arrive again.
RECENT_S = 120
# Another archive gets more, so that it recognises by id whatever may arrive.
SURELY_RECENT_S = 300
_RECENT_SWEEP_S = 10
_ADD = (
    f"INSERT INTO spend ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in COUNTERS)}"
)
_WRITE = f"INSERT OR REPLACE INTO spend ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_READ = "SELECT {} FROM spend WHERE day >= ? ORDER BY day, consumer, route"


class Booking(NamedTuple):
    """What one call adds. `id` is that of its reservation and makes adding idempotent. `text` is its entry in the
    ledger of the store."""

    id: str
    line: Line
    text: str


def booking(id_: str, day: int, route: str, consumer: str, counts: Iterable[int]) -> Booking:
    """A booking with the text that script.lua and the session would write."""
    charge = Charge(*counts)
    text = f"{id_} {day} {json.dumps([route, consumer, *charge], ensure_ascii=False, separators=(',', ':'))}"
    return Booking(id_, Line(day, consumer, route, charge), text)


class Archive:
    """The writing end. Raises sqlite3.Error if the file cannot be used."""

    def __init__(self, path: Path) -> None:
        path.touch(_FILE_MODE)
        # Flushes run in threads, one at a time.
        self._connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
        # WAL: readers never wait. FULL: whatever was flushed survives a power failure.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        with self._connection:
            self._connection.execute(_SCHEMA)
            for name in _missing(self._connection):  # a file of an earlier release
                self._connection.execute(f"ALTER TABLE spend ADD COLUMN {name} INTEGER NOT NULL DEFAULT 0")
            self._connection.executescript(_SHARED)
        # Bookings are added in threads, one after the other; one that was not awaited may still be running at the
        # end.
        self._turn = threading.Lock()
        self._swept_s = self._recent_swept_s = 0
        self._written: dict[tuple[int, str, str], Charge] = {}

    def load(self, ledger: Ledger, today: Today) -> None:
        """Restores this month's rows to a new ledger."""
        for line in _since(self._connection, first_of_month(today)):
            ledger.restore(line, today)

    def write(self, lines: Iterable[Line]) -> int:
        """Writes the lines that changed since the last call, and returns their number. Failed lines are written
        next time: a line holds all of its day."""
        seen = {(line.day, line.consumer, line.route): line.counts for line in lines}
        changed = {key: counts for key, counts in seen.items() if any(counts) and self._written.get(key) != counts}
        if changed:
            with self._connection:
                self._connection.executemany(
                    _WRITE, [(date_of(day), *names, *counts) for (day, *names), counts in changed.items()]
                )
        self._written = seen
        return len(changed)

    def book(self, bookings: Iterable[Booking], now_s: int) -> list[Booking]:
        """Adds bookings in one transaction; returns those that are new."""
        fresh = []
        with self._turn, self._connection:
            for each in bookings:
                if not self._connection.execute(
                    "INSERT OR IGNORE INTO booked VALUES (?, ?)", (each.id, now_s)
                ).rowcount:
                    continue
                fresh.append(each)
                self._connection.execute("INSERT INTO recent VALUES (?, ?, ?)", (now_s, each.id, each.text))
                line = each.line
                self._connection.execute(_ADD, (date_of(line.day), line.consumer, line.route, *line.counts))
            if now_s - self._recent_swept_s > _RECENT_SWEEP_S:
                self._recent_swept_s = now_s
                self._connection.execute("DELETE FROM recent WHERE at_s < ?", (now_s - SURELY_RECENT_S,))
            if now_s - self._swept_s > _SWEEP_S:
                self._swept_s = now_s
                self._connection.execute("DELETE FROM booked WHERE at_s < ?", (now_s - _IDS_KEPT_S,))
        return fresh

    def add(self, lines: Iterable[Line]) -> None:
        """Adds what another archive has in excess."""
        with self._turn, self._connection:
            for line in lines:
                self._connection.execute(_ADD, (date_of(line.day), line.consumer, line.route, *line.counts))

    def since(self, first_day: str) -> list[Line]:
        """Lines since `first_day` (2026-11-01)."""
        with self._turn:
            return list(_since(self._connection, first_day))

    def recent(self, since_s: int) -> list[tuple[str, str]]:
        """Ids and texts of bookings added since then; kept for SURELY_RECENT_S."""
        with self._turn:
            return list(
                self._connection.execute("SELECT id, text FROM recent WHERE at_s >= ? ORDER BY at_s", (since_s,))
            )

    def follows(self, epoch: int, since_s: int) -> None:
        """Records that from `since_s` on the rows of other gateways are added as well, from the store's data of
        this epoch. The first time is kept, unless rows of the same data were missed in between."""
        again = self.epoch == epoch
        with self._turn, self._connection:
            keep = "REPLACE" if again else "IGNORE"
            self._connection.execute(f"INSERT OR {keep} INTO facts VALUES ('shared_since', ?)", (since_s,))
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('epoch', ?)", (epoch,))

    @property
    def epoch(self) -> int | None:
        """The epoch of the store's data that it follows."""
        return self._fact("epoch")

    def _fact(self, name: str) -> int | None:
        with self._turn:
            found = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else int(found[0])

    def is_complete(self, today: Today) -> bool:
        """Whether it has all rows of this month, because it started before."""
        since_s = self._fact("shared_since")
        month_begins_s = day_of(first_of_month(today)) * DAY_S
        return since_s is not None and since_s < month_begins_s

    def close(self) -> None:
        with self._turn:
            self._connection.close()


def read_since(path: Path, first_day: str) -> list[Line]:
    """Returns the lines of `first_day` (2026-11-01) and later, by day, consumer and route. Raises sqlite3.Error."""
    return opened(path, lambda connection: list(_since(connection, first_day)))


def opened(path: Path, read: Callable[[sqlite3.Connection], _Read]) -> _Read:
    """Returns what `read` finds in the archive, opened read-only. Raises sqlite3.Error."""
    try:
        return _opened(path, read, "mode=ro")
    except sqlite3.OperationalError:
        # Even readers create the WAL index, which fails on a full disk. Without a WAL there is no writer.
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise
        return _opened(path, read, "mode=ro&immutable=1")


def _opened(path: Path, read: Callable[[sqlite3.Connection], _Read], how: str) -> _Read:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, timeout=_BUSY_S)) as connection:
        return read(connection)


def _since(connection: sqlite3.Connection, first_day: str) -> Iterator[Line]:
    missing = _missing(connection)
    names = ("0" if name in missing else name for name in _COLUMNS)
    for day, consumer, route, *counts in connection.execute(_READ.format(", ".join(names)), (first_day,)):
        yield Line(day_of(day), consumer, route, Charge(*counts))


def _missing(connection: sqlite3.Connection) -> list[str]:
    """Counters that the file does not have yet."""
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(spend)")}
    return [name for name in COUNTERS if name not in there]

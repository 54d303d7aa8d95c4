"""Records in SQLite, one file for all workers of a host.

The file reveals how many records there are, their sizes and when they expire; owners and contents are encrypted.
Deleted data is overwritten.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sidecar.conversations.bounds import Bounds, Reading, TooLargeError
from sidecar.conversations.key_file import key_in
from sidecar.conversations.sealing import Address, Sealing

log = logging.getLogger(__name__)

FILE_NAME: Final = "responses.sqlite"
_LOCK = "responses.lock"
_FILE_MODE = 0o600
# Another worker writing or evicting a record takes milliseconds. If a backup holds the file longer, a call's answer
# is not stored.
_BUSY_S = 2.0
# Bytes of a row in addition to the sealed content: two digests, a time, index entries.
_ROW_BYTES = 256
# Version of the schema. A file of another version is recreated, since its contents would expire within hours anyway.
_VERSION = 1
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS key (name INTEGER PRIMARY KEY CHECK (name = 0), digest BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS records (
        name BLOB NOT NULL PRIMARY KEY, owner BLOB NOT NULL, used_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,
        plain_bytes INTEGER NOT NULL, sealed BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS by_age ON records (used_ms)",
    "CREATE INDEX IF NOT EXISTS by_owner ON records (owner, used_ms)",
    # Sums that stay correct whatever changes a row. Owner x'' is the sum over all.
    "CREATE TABLE IF NOT EXISTS sums (owner BLOB NOT NULL PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TRIGGER IF NOT EXISTS came AFTER INSERT ON records BEGIN
        INSERT INTO sums VALUES (NEW.owner, NEW.bytes), (x'', NEW.bytes)
        ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes; END""",
    """CREATE TRIGGER IF NOT EXISTS went AFTER DELETE ON records BEGIN
        UPDATE sums SET bytes = bytes - OLD.bytes WHERE owner IN (OLD.owner, x'');
        DELETE FROM sums WHERE owner = OLD.owner AND bytes = 0; END""",
)
_OLDEST = "DELETE FROM records WHERE name = (SELECT name FROM records WHERE name != ? {} ORDER BY used_ms LIMIT 1)"
_UNREADABLE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class DiskRecords:
    """One connection, for one thread at a time. `folder` is on a local disk. Methods raise sqlite3.Error or OSError where the
    disk cannot be used; a file that is damaged, or was written with another key, is logged and recreated."""

    def __init__(self, folder: Path, key: bytes | None) -> None:
        """`key`: None for the one in the folder's key file."""
        self._folder = folder
        self._path = folder / FILE_NAME
        self._key = key
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] = (0, 0)
        self.sealing = self._open()

    def put(self, address: Address, sealed: bytes, plain_bytes: int, now_s: float, bounds: Bounds) -> bool:
        """Stores a sealed record, evicting the oldest ones if there is no room. `plain_bytes` is its size before
        sealing. Returns False if it is too large."""
        size = len(sealed) + _ROW_BYTES
        if size > min(bounds.owner_bytes, bounds.bytes):
            return False
        with self._used() as connection:
            name, owner = self.sealing.name(address), self.sealing.owner(address.owner)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM records WHERE name = ?", (name,))
            row = (name, owner, _ms(now_s), size, plain_bytes, sealed)
            connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", row)
            while self._sum(connection, owner) > bounds.owner_bytes:
                connection.execute(_OLDEST.format("AND owner = ?"), (name, owner))
            while self._sum(connection, b"") > bounds.bytes:
                connection.execute(_OLDEST.format(""), (name,))
            connection.execute("COMMIT")
        return True

    def get(self, addresses: Sequence[Address], now_s: float, bounds: Bounds, reading: Reading) -> dict[str, bytes]:
        """Returns the sealed records that exist, by id. Raises TooLargeError."""
        found: dict[str, bytes] = {}
        left = reading.plain_bytes
        query = "SELECT plain_bytes, sealed FROM records WHERE name = ? AND used_ms > ?"
        with self._used() as connection:
            names = {address.id: self.sealing.name(address) for address in addresses}
            for id_, name in names.items():
                row = connection.execute(query, (name, _ms(now_s - bounds.keep_s))).fetchone()
                if row is None:
                    continue
                left -= row[0]
                if left < 0:
                    raise TooLargeError
                found[id_] = row[1]
            if reading.used and found:
                self._begin_time_again(connection, [names[id_] for id_ in found], now_s)
        return found

    @staticmethod
    def _begin_time_again(connection: sqlite3.Connection, names: list[bytes], now_s: float) -> None:
        """Restarts the lifetime if possible; a failure does not affect the records that were found."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            times = [(_ms(now_s), name) for name in names]
            connection.executemany("UPDATE records SET used_ms = ? WHERE name = ?", times)
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:  # the disk is full, or another process holds the file
            log.warning("%s: the lifetime of the records in use cannot be extended: %s", FILE_NAME, error)
            if connection.in_transaction:
                connection.rollback()

    def delete(self, address: Address) -> bool:
        """Deletes a record. Returns whether it existed."""
        with self._used() as connection:
            return connection.execute("DELETE FROM records WHERE name = ?", (self.sealing.name(address),)).rowcount > 0

    def sweep(self, now_s: float, bounds: Bounds) -> None:
        """Deletes expired records and returns their space to the disk."""
        with self._used() as connection:
            connection.execute("DELETE FROM records WHERE used_ms <= ?", (_ms(now_s - bounds.keep_s),))
            # `execute` would run a single step, which frees one page
            connection.executescript("PRAGMA incremental_vacuum")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # deleted data stays in the WAL until then

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _sum(connection: sqlite3.Connection, owner: bytes) -> int:
        row = connection.execute("SELECT bytes FROM sums WHERE owner = ?", (owner,)).fetchone()
        return 0 if row is None else int(row[0])

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        """The connection to the current file. A file that cannot be read is replaced, and the error is raised."""
        if self._connection is None or self._file != _identity(self._path):
            self.close()
            self.sealing = self._open()
        assert self._connection is not None
        try:
            yield self._connection
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.rollback()
            if _is_unreadable(error):
                self._replace(error)
            raise

    def _replace(self, error: sqlite3.Error) -> None:
        """Replaces the file, unless another worker has done so."""
        with _locked(self._folder):
            self.close()
            if self._file == _identity(self._path):
                self._begin_again(error)

    def _open(self) -> Sealing:
        with _locked(self._folder):
            sealing = Sealing(key_in(self._folder) if self._key is None else self._key)
            try:
                self._connection = self._connected(sealing)
            except sqlite3.DatabaseError as error:
                if not _is_unreadable(error):
                    raise
                self._begin_again(error)
                self._connection = self._connected(sealing)
            self._file = _identity(self._path)
        return sealing

    def _begin_again(self, error: sqlite3.Error) -> None:
        log.error("%s cannot be read (%s). Its stored answers are lost, and a new file is created.", self._path, error)
        remove_files(self._folder)

    def _require_key(self, connection: sqlite3.Connection, sealing: Sealing) -> None:
        row = connection.execute("SELECT digest FROM key").fetchone()
        if row is not None and row[0] == sealing.check:
            return
        if row is not None:
            text = "%s was written with another key. Its stored answers are lost, and the file is recreated."
            log.error(text, self._path)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM records")
        connection.execute("INSERT OR REPLACE INTO key VALUES (0, ?)", (sealing.check,))
        connection.execute("COMMIT")

    def _connected(self, sealing: Sealing) -> sqlite3.Connection:
        self._path.touch(_FILE_MODE)
        # Used by several threads, one at a time. Transactions are started explicitly.
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # has to be set before the first table
            connection.execute("PRAGMA journal_mode = WAL")
            # Committed data survives the worker; the last moments before a power failure may be lost.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            if connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                for table in ("records", "sums", "key"):
                    connection.execute(f"DROP TABLE IF EXISTS {table}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            for statement in _SCHEMA:
                connection.execute(statement)
            self._require_key(connection, sealing)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def forget(folder: Path) -> bool:
    """Removes all records. Returns whether there were any. Raises OSError."""
    if not (folder / FILE_NAME).exists():
        return False
    with _locked(folder):
        remove_files(folder)
    return True


def remove_files(folder: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        (folder / (FILE_NAME + suffix)).unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lets one process at a time open or replace the files."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _is_unreadable(error: sqlite3.Error) -> bool:
    """Extended result codes contain the primary one in their lowest byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNREADABLE


def _ms(seconds: float) -> int:
    return int(seconds * 1000)

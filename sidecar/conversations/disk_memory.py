"""Stores and finds records of one machine for the event loop, in dedicated threads, so that no call waits for the
disk access of another."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, cast

from adapters import GatewayError, Kind
from sidecar.conversations.bounds import Bounds, Reading, TooLargeError, bounds_of
from sidecar.conversations.disk_records import FILE_NAME, DiskRecords, forget
from sidecar.conversations.memory import SWEEP_S, WAITING_MAX, too_large
from sidecar.conversations.sealing import Address
from sidecar.domain.snapshot import Remembering

log = logging.getLogger(__name__)

# Compression and encryption overlap with the disk access of another record.
_THREADS = 2
# Seconds after which the disk counts as not responding.
_DISK_S = 5.0
_Done = TypeVar("_Done")


class DiskMemory:
    """Without a `folder`, nothing is ever stored."""

    def __init__(self, folder: Path | None, settings: Callable[[], Remembering | None]) -> None:
        self._folder = folder
        self._settings = settings
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="conversations")
        self._one = threading.Lock()
        self._store: tuple[Remembering, DiskRecords] | None = None
        self._waiting = 0
        self._sweeps: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Deletes expired records periodically until it is closed."""
        self._sweeps = asyncio.create_task(self._sweep_until_cancelled())

    @property
    def settings(self) -> Remembering | None:
        """None if nothing is stored."""
        return None if self._folder is None else self._settings()

    async def put(self, owner: str, id_: str, value: bytes) -> bool:
        """Stores a record. Returns False if that failed, because it is too large or the disk failed, which is
        logged."""
        try:
            return await self._run(lambda store, bounds: self._put(store, Address(owner, id_), value, bounds))
        except GatewayError:
            return False

    async def get(self, owner: str, ids: Iterable[str], *, used: bool, bytes_max: int) -> dict[str, bytes]:
        """Returns the owner's records that exist. `used` restarts their lifetime. Raises request_too_large if
        together they exceed `bytes_max`, and overloaded."""
        reading = Reading(used, bytes_max)
        addresses = [Address(owner, id_) for id_ in ids]
        try:
            return await self._run(lambda store, bounds: self._get(store, addresses, bounds, reading))
        except TooLargeError:
            raise too_large() from None

    async def delete(self, owner: str, id_: str) -> bool:
        """Deletes a record. Returns whether it existed. Raises overloaded."""

        def delete(store: DiskRecords, bounds: Bounds) -> bool:
            with self._one:
                return store.delete(Address(owner, id_))

        return await self._run(delete)

    async def _sweep_until_cancelled(self) -> None:
        """Deletes expired records on time, and all records once the config turns storing off."""
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(self._threads, self._sweep)
            except (OSError, sqlite3.Error) as error:
                log.error("expired answers cannot be deleted: %s", _with_file(error, self._folder))
            await asyncio.sleep(SWEEP_S)

    async def close(self) -> None:
        if self._sweeps is not None:
            self._sweeps.cancel()
        await asyncio.get_running_loop().run_in_executor(self._threads, self._close)
        self._threads.shutdown(wait=False)

    def _put(self, store: DiskRecords, address: Address, value: bytes, bounds: Bounds) -> bool:
        sealed = store.sealing.seal(address, value)
        with self._one:
            return store.put(address, sealed, len(value), time.time(), bounds)

    def _get(self, store: DiskRecords, addresses: list[Address], bounds: Bounds, reading: Reading) -> dict[str, bytes]:
        with self._one:
            sealed = store.get(addresses, time.time(), bounds, reading)
        opened = ((each.id, store.sealing.unseal(each, sealed[each.id])) for each in addresses if each.id in sealed)
        return {id_: value for id_, value in opened if value is not None}

    async def _run(self, work: Callable[[DiskRecords, Bounds], _Done]) -> _Done:
        """Raises overloaded if the disk does not respond."""
        settings = self.settings
        assert settings is not None
        if self._waiting >= WAITING_MAX:
            raise _unusable("too many calls wait for it")
        self._waiting += 1

        # Drop abandoned work, so that it does not pile up in the queue of a disk that hangs.
        given = [work]

        def done() -> _Done | None:
            return given[0](self._opened(settings), bounds_of(settings)) if given else None

        try:
            async with asyncio.timeout(_DISK_S):
                return cast(_Done, await asyncio.get_running_loop().run_in_executor(self._threads, done))
        except TimeoutError:
            raise _unusable("it does not respond") from None
        except (OSError, sqlite3.Error) as error:
            raise _unusable(_with_file(error, self._folder)) from error
        finally:
            given.clear()
            self._waiting -= 1

    def _opened(self, settings: Remembering) -> DiskRecords:
        """The store, opened with the configured key."""
        assert self._folder is not None
        with self._one:
            if self._store is not None and self._store[0].encryption_key != settings.encryption_key:
                self._forget_store()
            if self._store is None:
                key = None if settings.encryption_key is None else settings.encryption_key.reveal().encode()
                self._store = (settings, DiskRecords(self._folder, key))
            return self._store[1]

    def _sweep(self) -> None:
        if self._folder is None:
            return
        settings = self._settings()
        if settings is not None:
            store = self._opened(settings)
            with self._one:
                store.sweep(time.time(), bounds_of(settings))
            return
        with self._one:
            self._forget_store()
            if forget(self._folder):
                log.info("answers are no longer stored; those that were stored have been deleted")

    def _close(self) -> None:
        with self._one:
            self._forget_store()

    def _forget_store(self) -> None:
        if self._store is not None:
            self._store[1].close()
            self._store = None


def _with_file(error: OSError | sqlite3.Error, folder: Path | None) -> str:
    """SQLite does not name its file."""
    if isinstance(error, OSError) or folder is None:
        return str(error)
    return f"{folder / FILE_NAME} or its -wal or -shm: {error}. Move them away to begin with nothing stored."


def _unusable(reason: str) -> GatewayError:
    log.error("the store of responses cannot be used: %s", reason)
    return GatewayError(
        Kind.OVERLOADED, "The gateway cannot read stored responses at the moment. Send the whole conversation instead."
    )

"""Records in a Redis or Valkey shared by several machines, over a separate connection, so that answers about limits
never wait behind a large record. records.lua documents the keys."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, Final, TypeVar

from sidecar.conversations.bounds import Bounds, Reading, TooLargeError
from sidecar.domain.snapshot import SharedStore
from sidecar.store.connect import Connector
from sidecar.store.line import Line, Refused, StoreError, Unanswered
from sidecar.store.operations import slot_of

log = logging.getLogger(__name__)

_SCRIPT = resources.files(__package__).joinpath("records.lua").read_bytes()
_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest().encode()
# Version of the keys and values. A release that changes them increments this; older records expire.
_VERSION: Final = 1
# A record of 64 MB takes a second on a busy network; a store that takes longer is not responding.
_ANSWER_S = 5.0
# An unreachable store is not tried again for this long, so that calls that need it do not queue up.
_AWAY_S = 0.25
# Bytes per record in addition to the sealed content: two keys, and two entries in the order of use.
_ROW_BYTES = 600
# As many as one script of records.lua deletes.
_AT_A_TIME = 500
_MORE = 1
# The server does not know the script, or is read-only: nothing was done.
_NOT_DONE = frozenset({"NOSCRIPT", "READONLY", "MASTERDOWN", "LOADING"})
_Done = TypeVar("_Done")


class StoreRecords:
    """Methods raise StoreError if the store does not answer or refuses. `check` identifies the key with which
    records are sealed."""

    def __init__(self, store: SharedStore, connector: Connector | None = None) -> None:
        self._connector = connector or Connector(store)
        self._prefix = slot_of(store.installation) + b"c%d:" % _VERSION
        self._line: Line | None = None
        self._connecting: asyncio.Task[Line] | None = None
        self._away_until = 0.0
        self._loop = asyncio.get_running_loop()
        self.check = b""

    async def put(self, owner: bytes, name: bytes, sealed: bytes, plain_bytes: int, bounds: Bounds) -> bool:
        """Stores a record, evicting the oldest ones if there is no room. Returns False if it is too large."""
        size = len(sealed) + _ROW_BYTES
        if size > min(bounds.owner_bytes, bounds.bytes):
            return False
        counted = (b"put", owner, name, size, plain_bytes, _ms(bounds.keep_s), bounds.owner_bytes, bounds.bytes)

        async def put(line: Line) -> None:
            while (await self._run(line, *counted))[0] == _MORE:
                pass
            try:
                await line.ask(b"SET", self._key(name), sealed, b"PX", _ms(bounds.keep_s))
            except Refused:  # the server is out of memory
                await self._run(line, b"delete", name)
                raise

        await self._connected(put)
        return True

    async def get(self, names: Sequence[bytes], bounds: Bounds, reading: Reading) -> dict[bytes, bytes]:
        """Returns the sealed records that exist, by name. Raises TooLargeError."""

        async def get(line: Line) -> dict[bytes, bytes]:
            used = b"1" if reading.used else b"0"
            found = await self._run(line, b"get", _ms(bounds.keep_s), used, reading.plain_bytes, *names)
            if names and found[0] < 0:
                raise TooLargeError
            there = [name for name, yes in zip(names, found, strict=True) if yes]
            values = [await line.ask(b"GET", self._key(name)) for name in there]
            return {name: value for name, value in zip(there, values, strict=True) if value is not None}

        return await self._connected(get)

    async def delete(self, name: bytes) -> bool:
        """Returns whether it existed, also if only the answer to an earlier attempt was lost."""
        attempts = 0

        async def delete(line: Line) -> bool:
            nonlocal attempts
            attempts += 1
            return bool((await self._run(line, b"delete", name))[0]) or attempts > 1

        return await self._connected(delete)

    async def sweep(self, bounds: Bounds) -> None:
        """Deletes expired records, and the accounting of records that the store evicted."""

        async def sweep(line: Line) -> None:
            while (await self._run(line, b"sweep", _ms(bounds.keep_s)))[0] == _AT_A_TIME:
                pass

        await self._connected(sweep)

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self._line.abort()

    def _key(self, name: bytes) -> bytes:
        return self._prefix + b"d:" + name

    async def _run(self, line: Line, *words: bytes | int) -> list[int]:
        answer: list[int] = await line.ask(b"EVALSHA", _SHA, 1, self._prefix, *words)
        return answer

    async def _connected(self, work: Callable[[Line], Awaitable[_Done]]) -> _Done:
        """Tries again over another connection if the first one was lost, as one that was idle for long may be, or
        led to a server that is no longer the master."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                line = await self._open()
                try:
                    return await work(line)
                except Refused as error:
                    if error.code not in _NOT_DONE:
                        raise
                except Unanswered:
                    pass
                self._lose(line)
                return await work(await self._open())
        except TimeoutError:
            if self._line is not None:
                self._lose(self._line)
            raise Unanswered("there was no answer in time") from None

    def _lose(self, line: Line) -> None:
        if self._line is line:
            self._line = None
        line.abort()

    async def _open(self) -> Line:
        if self._line is not None and self._line.is_open:
            return self._line
        if self._loop.time() < self._away_until:
            raise Unanswered("it could not be reached a moment ago")
        if self._connecting is None or self._connecting.done():
            self._connecting = self._loop.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> Line:
        try:
            line = (await self._connector.connect()).line
            try:
                await self._prepare(line)
            except BaseException:
                line.abort()
                raise
        except StoreError:
            self._away_until = self._loop.time() + _AWAY_S
            raise
        self._line = line
        return line

    async def _prepare(self, line: Line) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await line.ask(b"SCRIPT", b"LOAD", _SCRIPT)
                other: Any = await line.ask(b"GETSET", self._prefix + b"key", self.check)
        except TimeoutError:
            raise Unanswered("there was no answer in time") from None
        if other not in (None, self.check):
            log.error(
                "The store has answers that were encrypted with another key, which cannot be read with this one. Gateways of one "
                "installation need the same responses.encryption_key."
            )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)

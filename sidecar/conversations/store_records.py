"""Records in the Redis or Valkey that several machines share: over a connection of their own, so that no answer of limits waits
behind a large record. records.lua says which keys there are."""

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
# Of the keys and their values. A release that changes them counts this up; what the one before kept ends by its time.
_VERSION: Final = 1
# A record of 64 MB takes a second on a busy network; a store that takes longer is one that does not answer.
_ANSWER_S = 5.0
# A store that could not be reached is not asked again for this long: calls that need it do not queue for it.
_AWAY_S = 0.25
# Of a record in addition to what is sealed: two keys, two entries of the order of use.
_ROW_BYTES = 600
# As many as one script of records.lua deletes.
_AT_A_TIME = 500
_MORE = 1
# The connection leads to a server that does not know the script, or may not write: nothing was done.
_NOT_DONE = frozenset({"NOSCRIPT", "READONLY", "MASTERDOWN", "LOADING"})
_Done = TypeVar("_Done")


class StoreRecords:
    """Methods raise StoreError where the store does not answer or refuses. `check` says which key the records are sealed with."""

    def __init__(self, store: SharedStore, connector: Connector | None = None) -> None:
        self._connector = connector or Connector(store)
        self._prefix = slot_of(store.installation) + b"c%d:" % _VERSION
        self._line: Line | None = None
        self._connecting: asyncio.Task[Line] | None = None
        self._away_until = 0.0
        self._loop = asyncio.get_running_loop()
        self.check = b""

    async def put(self, owner: bytes, name: bytes, sealed: bytes, plain_bytes: int, bounds: Bounds) -> bool:
        """Keeps a record; the oldest go where there is no room. False: it is too large."""
        size = len(sealed) + _ROW_BYTES
        if size > min(bounds.owner_bytes, bounds.bytes):
            return False
        counted = (b"put", owner, name, size, plain_bytes, _ms(bounds.keep_s), bounds.owner_bytes, bounds.bytes)

        async def put(line: Line) -> None:
            while (await self._run(line, *counted))[0] == _MORE:
                pass
            try:
                await line.ask(b"SET", self._key(name), sealed, b"PX", _ms(bounds.keep_s))
            except Refused:  # there is no memory left for it
                await self._run(line, b"delete", name)
                raise

        await self._connected(put)
        return True

    async def get(self, names: Sequence[bytes], bounds: Bounds, reading: Reading) -> dict[bytes, bytes]:
        """Those that are there, sealed, by name. Raises TooLargeError."""

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
        """Whether it was there; also where only the answer to an earlier attempt was lost."""
        attempts = 0

        async def delete(line: Line) -> bool:
            nonlocal attempts
            attempts += 1
            return bool((await self._run(line, b"delete", name))[0]) or attempts > 1

        return await self._connected(delete)

    async def sweep(self, bounds: Bounds) -> None:
        """Deletes what has ended, and what is counted of what the store has dropped by itself."""

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
        """Once more over another connection where the first was lost, as one that was idle for long may be, or led to a server
        that is no master any more."""
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

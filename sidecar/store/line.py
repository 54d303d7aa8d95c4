"""One pipelined connection to Redis or Valkey. hiredis encodes commands and parses answers, which arrive in order.

A client library takes four times as much CPU per command (docs/decisions/0031), and little of it is needed here: no
pool, no retries, no implicit waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

# Unanswered commands on one connection. Beyond this the server is stuck, and queueing more is pointless.
_WAITING_MAX = 10_000
_ANSWER_S = 5.0


class StoreError(Exception):
    """The command was not executed, or its result is unknown."""


class Unanswered(StoreError):
    """No answer in time, or the connection was lost: the script may have run, or may still run."""


class Refused(StoreError):
    """The server answered with an error. `code` is its first word, such as EMPTY, READONLY or MOVED."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]


class Line(asyncio.Protocol):
    """Create with `asyncio.get_running_loop().create_connection(Line, ...)`. Futures raise Unanswered or Refused."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self.lost: Callable[[], None] | None = None  # called once, when the connection is lost

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if self._waiting:
                    _resolve(self._waiting.popleft(), answer)
        except hiredis.ProtocolError:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(Unanswered("the connection was lost"))
        if self.lost is not None:
            self.lost()

    def ask(self, *command: bytes | str | int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None or len(self._waiting) >= _WAITING_MAX:
            future.set_exception(Unanswered("not connected"))
            return future
        self._waiting.append(future)
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]
        return future

    def abort(self) -> None:
        """Closes without sending anything."""
        if self._transport is not None:
            self._transport.abort()


async def answer(line: Line, *command: bytes | str | int) -> Any:
    """Runs a background command. Raises StoreError."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await line.ask(*command)
    except TimeoutError:
        raise Unanswered("no answer in time") from None


def _resolve(future: asyncio.Future[Any], answer: Any) -> None:
    if future.done():
        return
    if isinstance(answer, hiredis.ReplyError):
        future.set_exception(Refused(str(answer)))
    else:
        future.set_result(answer)

"""Batches operations for the script: those requested in one turn of the event loop are sent together.

Only a few scripts run at once, and everything that arrives meanwhile goes into the next one: the busier the store,
the larger the batches. A script blocks everyone else while it runs, which bounds its size.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from sidecar.store.line import Line, StoreError, Unanswered
from sidecar.store.operations import SCRIPT_SHA, Operation

# Operations per script: 0.8 ms of the server.
OPERATIONS_MAX = 32
# Concurrent scripts of one worker.
_SCRIPTS_MAX = 2

_TURN_S = 0.001

Answer = list[int]


class Batches:
    """`timeout_s` bounds the time from `put` to the answer, including all waiting. `answered` gets the seconds of each script."""

    def __init__(self, line: Line, prefix: bytes, timeout_s: float, answered: Callable[[float], None]) -> None:
        self._line = line
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._timed = answered
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[Operation, asyncio.Future[Answer]]] = deque()
        self._due: deque[tuple[float, asyncio.Future[Answer]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing = False
        self._under_way = 0

    def put(self, operation: Operation) -> asyncio.Future[Answer]:
        """Runs an operation. Raises Unanswered or Refused."""
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._queue.append((operation, future))
        until = self._loop.time() + self._timeout_s
        self._due.append((until, future))
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._expire)
        if not self._flushing and self._under_way < _SCRIPTS_MAX:
            self._flushing = True
            self._loop.call_soon(self._flush)
        return future

    def close(self) -> None:
        """Fails all operations without an answer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._due:
            _fail(self._due.popleft()[1], Unanswered("the connection was closed"))
        self._queue.clear()

    def _flush(self) -> None:
        self._flushing = False
        while self._queue and self._under_way < _SCRIPTS_MAX:
            futures: list[asyncio.Future[Answer]] = []
            words: list[bytes] = []
            while self._queue and len(futures) < OPERATIONS_MAX:
                operation, future = self._queue.popleft()
                if not future.done():  # abandoned before it was sent
                    futures.append(future)
                    words += operation
            if futures:
                self._under_way += 1
                script = self._line.ask(b"EVALSHA", SCRIPT_SHA, 1, self._prefix, *words)
                script.add_done_callback(partial(self._answered, futures, time.perf_counter()))

    def _answered(
        self, futures: list[asyncio.Future[Answer]], began_s: float, script: asyncio.Future[list[Answer]]
    ) -> None:
        self._under_way -= 1
        error = script.exception()
        if error is None:
            self._timed(time.perf_counter() - began_s)
            for future, answer in zip(futures, script.result(), strict=True):
                if not future.done():
                    future.set_result(answer)
        else:
            for future in futures:
                _fail(future, error if isinstance(error, StoreError) else Unanswered(str(error)))
        if self._queue and not self._flushing:
            self._flush()

    def _expire(self) -> None:
        """Called when the oldest operation is due. uvloop runs timers before it reads: if this process was blocked,
        the answer may be there but unread, so overdue operations get one more turn."""
        while self._due and self._due[0][1].done():
            self._due.popleft()
        if not self._due:
            self._timer = None
        elif self._due[0][0] > self._loop.time():
            self._timer = self._loop.call_at(self._due[0][0], self._expire)
        else:
            self._timer = self._loop.call_later(_TURN_S, self._give_up)

    def _give_up(self) -> None:
        overdue = self._loop.time() - _TURN_S
        while self._due and (self._due[0][1].done() or self._due[0][0] <= overdue):
            _fail(self._due.popleft()[1], Unanswered("no answer in time"))
        self._expire()


def _fail(future: asyncio.Future[Answer], error: StoreError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # the waiting call may be gone; do not report the exception as never retrieved

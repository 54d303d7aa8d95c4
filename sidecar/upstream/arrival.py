"""Waits for the next bytes with a limit that moves with every read, without setting a timer each time."""

from __future__ import annotations

import asyncio

from sidecar.upstream.time_limit import held_time


class Arrival:
    """Supports one waiter at a time.

    The timer of an earlier wait stays set, even across calls; if it fires too early, it is set to the limit that
    applies by then. A stream of 50 pieces sets one timer instead of 50, and so do all calls of a minute. Time during
    which the event loop was blocked does not count.
    """

    __slots__ = ("_held", "_held_s", "_loop", "_rings_s", "_timer", "_until_s", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._held = held_time(loop)
        self._held_s = 0.0  # limit of the current wait
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = 0.0
        self._until_s: float | None = None

    def expected(self, until_s: float | None) -> asyncio.Future[None]:
        """Waits until `here` is called. Raises TimeoutError at `until_s`, in event loop time."""
        self._until_s = until_s
        if until_s is not None:
            self._held_s = self._held.total_s(self._loop.time())
            if self._timer is None or self._rings_s > until_s:
                self._set(until_s)
        self._waiter = waiter = self._loop.create_future()
        return waiter

    def here(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def held_s(self) -> float:
        """Seconds for which the event loop was blocked during the last wait, if that had a limit."""
        return self._held.total_s(self._loop.time()) - self._held_s

    def _set(self, until_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = until_s
        self._timer = self._loop.call_at(until_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done() or self._until_s is None:
            return
        now_s = self._loop.time()
        held_s = self._held.total_s(now_s)
        self._until_s += held_s - self._held_s
        self._held_s = held_s
        if now_s < self._until_s:
            self._set(self._until_s)
        else:
            waiter.set_exception(TimeoutError())

    def stop(self) -> None:
        """Stops the timer; there will be no further wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

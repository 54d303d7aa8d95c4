"""Time limits for providers that only count time in which this worker's event loop was running.

If the loop is busy for a second (the JSON of a body of 31 MB), a timer of a second fires although the answer has
already arrived in the kernel, or the request has not left yet. That says nothing about the provider, so such a timer
is extended by the blocked time.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

# How often the loop is checked, which costs 20 µs per second. It counts as blocked if a check was late by more than
# _LATE_S; a busy loop is late by some milliseconds in every turn.
_STEP_S = 0.1
_LATE_S = 0.02


class HeldTime:
    """Measures the seconds for which an event loop was blocked."""

    __slots__ = ("_due_s", "_total_s")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._total_s = 0.0
        self._tick_after(loop)

    def _tick_after(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due_s = loop.time() + _STEP_S
        loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._total_s = self.total_s(loop.time())
        self._tick_after(loop)

    def total_s(self, now_s: float) -> float:
        """Seconds blocked since the loop's first limit was set; `now_s` is event loop time."""
        late_s = now_s - self._due_s
        return self._total_s + late_s if late_s > _LATE_S else self._total_s


_held: WeakKeyDictionary[asyncio.AbstractEventLoop, HeldTime] = WeakKeyDictionary()


def held_time(loop: asyncio.AbstractEventLoop) -> HeldTime:
    """The instance of this event loop."""
    found = _held.get(loop)
    if found is None:
        found = _held[loop] = HeldTime(loop)
    return found


class TimeLimit:
    """Like asyncio.timeout_at(until_s), but time during which the loop was blocked does not count. `until_s` is
    event loop time.

    Moving the limit does not set a new timer: when the current one fires, it checks the limit that applies by then.
    Raises TimeoutError.
    """

    __slots__ = ("_cancelling", "_expired", "_held", "_held_s", "_loop", "_rings_s", "_task", "_timer", "_until_s")

    def __init__(self, until_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._held = held_time(self._loop)
        self._held_s = self._held.total_s(self._loop.time())
        self._until_s = until_s
        self._expired = False

    @property
    def until_s(self) -> float:
        """The limit as it is now."""
        return self._until_s

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()
        self._set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, until_s: float) -> None:
        """Moves the limit."""
        self._until_s = until_s
        if until_s < self._rings_s and not self._expired:
            self._timer.cancel()
            self._set()

    def _set(self) -> None:
        self._rings_s = self._until_s
        self._timer = self._loop.call_at(self._until_s, self._ring)

    def _ring(self) -> None:
        now_s = self._loop.time()
        held_s = self._held.total_s(now_s)
        self._until_s += held_s - self._held_s
        self._held_s = held_s
        if now_s < self._until_s:
            self._set()
        else:
            self._expired = True
            self._task.cancel()

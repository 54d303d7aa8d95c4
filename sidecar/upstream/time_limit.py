"""How long a provider may take, in time in which this worker's loop ran.

Where the loop is busy for a second (the JSON of a body of 31 MB), a timer of a second rings although the answer lies in the
kernel, or the request has not left yet. That says nothing about the provider: a timer that counts such time sets itself anew.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self
from weakref import WeakKeyDictionary

# The loop is looked at this often, which costs 20 us a second; it was held where that came late by more than _LATE_S. A busy
# loop is late by some milliseconds in each turn.
_STEP_S = 0.1
_LATE_S = 0.02


class HeldTime:
    """Seconds in which an event loop did not turn."""

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
        """Since the first limit of the loop was set; `now_s` is the loop's time."""
        late_s = now_s - self._due_s
        return self._total_s + late_s if late_s > _LATE_S else self._total_s


_held: WeakKeyDictionary[asyncio.AbstractEventLoop, HeldTime] = WeakKeyDictionary()


def held_time(loop: asyncio.AbstractEventLoop) -> HeldTime:
    """The loop's own."""
    found = _held.get(loop)
    if found is None:
        found = _held[loop] = HeldTime(loop)
    return found


class TimeLimit:
    """asyncio.timeout_at(until_s), but time in which the loop was held does not count. `until_s` is on the loop's clock.

    A limit that moves on costs no timer each time: the one that is set looks at the time that counts by then. Raises
    TimeoutError.
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
        """As it has moved by now."""
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
        """From now on it ends then."""
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

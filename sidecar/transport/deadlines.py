"""The deadlines of one connection's calls, with a single timer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sidecar.transport.call import Call

# uvloop's clock counts milliseconds, and a timer may fire during the millisecond before its own.
_STEP_S = 0.001


class Deadlines:
    """The timer is set for the earliest deadline and stays set when that call ends: calls with a timeout of 30 s
    set one timer per 30 s rather than one each. When it fires, it examines at most all calls of a connection."""

    __slots__ = ("_calls", "_loop", "_rings_at", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, calls: Collection[Call]) -> None:
        """`calls` returns the running calls."""
        self._loop = loop
        self._calls = calls
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0

    def expect(self, at: float) -> None:
        """Notes a call's `cut_at`, in event loop time."""
        if self._timer is None or at < self._rings_at:
            self._set(at)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        later: list[float] = []
        for call in tuple(self._calls):
            if call.cut_at is None:
                continue
            if call.cut_at <= now:
                call.deadline_has_passed()
            else:
                later.append(call.cut_at)
        if later:
            self.expect(max(min(later), now + _STEP_S))

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

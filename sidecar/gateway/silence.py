"""Signs of life to a caller that waits for the first output: balancers cut what is silent for a minute, some for half of one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Silence:
    """Calls `tell` each `every_s` seconds until its end. One timer: a call whose output is there in time pays nothing else."""

    __slots__ = ("_every_s", "_loop", "_tell", "_telling", "_timer")

    def __init__(self, every_s: float, tell: Callable[[], Awaitable[None]]) -> None:
        self._every_s = every_s
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._telling: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every_s, self._ring)

    def _ring(self) -> None:
        """A caller that has not taken the last sign gets no other."""
        self._timer = self._loop.call_later(self._every_s, self._ring)
        if self._telling is None:
            self._telling = self._loop.create_task(self._sent())

    async def _sent(self) -> None:
        await self._tell()
        self._telling = None

    def end(self) -> asyncio.Task[None] | None:
        """No further sign. A sign on its way is returned: nothing else may be written before it has ended."""
        self._timer.cancel()
        return self._telling

    async def ended(self, error: BaseException | None = None) -> None:
        """`end`, and waits for a sign on its way. Raises what that did, unless the call has failed with `error` itself."""
        telling = self.end()
        if telling is None:
            return
        if error is not None and not isinstance(error, Exception):  # the call is cancelled, and so is what it says
            telling.cancel()
        await asyncio.wait([telling])
        if error is None:
            telling.result()
        elif not telling.cancelled():
            telling.exception()  # seen

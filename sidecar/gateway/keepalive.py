"""Keepalives for a caller that waits for the first output: load balancers cut connections that are silent for 30 to
60 s."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Keepalive:
    """Calls `send` every `every_s` seconds until it ends. A call whose output arrives in time costs one timer and
    nothing else."""

    __slots__ = ("_every_s", "_loop", "_send_one", "_sending", "_timer")

    def __init__(self, every_s: float, send: Callable[[], Awaitable[None]]) -> None:
        self._every_s = every_s
        self._send_one = send
        self._loop = asyncio.get_running_loop()
        self._sending: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(every_s, self._beat)

    def _beat(self) -> None:
        """Skips a beat if the caller has not taken the previous keepalive yet."""
        self._timer = self._loop.call_later(self._every_s, self._beat)
        if self._sending is None:
            self._sending = self._loop.create_task(self._send())

    async def _send(self) -> None:
        await self._send_one()
        self._sending = None

    def end(self) -> asyncio.Task[None] | None:
        """Stops the timer. Returns a keepalive still being sent: nothing else may be written before it has finished."""
        self._timer.cancel()
        return self._sending

    async def finish(self, error: BaseException | None = None) -> None:
        """Stops the timer and waits for a keepalive still being sent. Raises its error, unless the call has already
        failed with `error`."""
        sending = self.end()
        if sending is None:
            return
        if error is not None and not isinstance(error, Exception):  # the call is cancelled, so the keepalive is too
            sending.cancel()
        await asyncio.wait([sending])
        if error is None:
            sending.result()
        elif not sending.cancelled():
            sending.exception()  # mark it as retrieved

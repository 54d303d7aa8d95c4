"""Bounds concurrent calls per worker and per route, with a short bounded queue in front of each.

A call that exceeds both is refused at once, while its caller can still act on it. A stream counts until its end.
"""

from __future__ import annotations

import asyncio
from collections import deque

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Admission, Route, Snapshot


class Gate:
    """A counting semaphore with a bounded first-in, first-out queue."""

    __slots__ = ("_queue", "settings", "taken")

    def __init__(self, settings: Admission) -> None:
        self.settings = settings
        self.taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def unused(self) -> bool:
        return not self.taken and not self._queue

    def try_enter(self) -> bool:
        """Takes a slot if one is free and no call is queued. Returns whether it did."""
        if self.taken < self.settings.concurrent_max and not self._queue:
            self.taken += 1
            return True
        return False

    async def enter(self) -> None:
        """Takes a slot, queueing for one if necessary. Raises overloaded if the queue is full or the wait exceeds
        `queue_s`."""
        if self.try_enter():
            return
        if len(self._queue) >= self.settings.queue_max:
            raise _overloaded()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            async with asyncio.timeout(self.settings.queue_s):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.leave()  # the slot was handed over just as the wait ended
            elif place in self._queue:
                self._queue.remove(place)
            if isinstance(error, TimeoutError):
                raise _overloaded() from None
            raise

    def leave(self) -> None:
        """Hands the slot to the first queued call, or frees it if none is queued or a reload lowered the limit."""
        while self._queue and self.taken <= self.settings.concurrent_max:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.taken -= 1

    def resize(self, settings: Admission) -> None:
        """Applies new settings. Running calls keep their slots; queued calls that now fit are admitted."""
        self.settings = settings
        while self._queue and self.taken < settings.concurrent_max:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)
                self.taken += 1


class Admissions:
    """All gates of one worker. They survive a reload, together with the calls inside them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._worker = Gate(snapshot.admission)
        self._routes: dict[str, Gate] = {}

    @property
    def taken(self) -> int:
        """Number of running calls."""
        return self._worker.taken

    @property
    def waiting(self) -> int:
        """Number of queued calls."""
        return self._worker.waiting + sum(gate.waiting for gate in self._routes.values())

    def reload(self, snapshot: Snapshot) -> None:
        self._worker.resize(snapshot.admission)
        for name, gate in list(self._routes.items()):
            route = snapshot.routes.get(name)
            if route is not None and route.admission is not None:
                gate.resize(route.admission)
            elif gate.unused:
                del self._routes[name]

    def try_enter(self, route: Route) -> bool:
        """Takes a slot for a route without a gate of its own, if one is free. Returns whether it did; release it
        with `leave(None)`."""
        return route.admission is None and self._worker.try_enter()

    async def enter(self, route: Route) -> Gate | None:
        """Takes a slot for the route. Returns the gate to pass to `leave`. Raises overloaded."""
        gate = None
        if route.admission is not None:
            gate = self._routes.get(route.name)
            if gate is None:
                gate = self._routes[route.name] = Gate(route.admission)
            await gate.enter()
        if self._worker.try_enter():
            return gate
        try:
            await self._worker.enter()
        except BaseException:
            if gate is not None:
                gate.leave()
            raise
        return gate

    def leave(self, gate: Gate | None) -> None:
        self._worker.leave()
        if gate is not None:
            gate.leave()


def _overloaded() -> GatewayError:
    return GatewayError(Kind.OVERLOADED, "The gateway is at capacity.")

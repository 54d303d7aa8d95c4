"""Connections to providers that are kept between calls."""

from __future__ import annotations

import asyncio

from sidecar.upstream.connection import Connection
from sidecar.upstream.dial import Dialer, Place

# Idle connections are dropped before the shortest common keep-alive of servers (nginx 75 s, cloud load balancers 60
# s). A server that closes earlier usually says so with `keep-alive: timeout=5`, which is respected.
IDLE_S = 30.0
# Load balancers distribute connections, not calls: after this long, a new connection may reach another server.
AGE_S = 600.0
# Idle connections left over from a burst. Each takes a descriptor and, with TLS, about 50 KB.
IDLE_MAX = 256
IDLE_ALL_MAX = 1024


class Pool:
    """`take` a kept connection or `dial` a new one; then `give` it back or `drop` it."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Place, list[Connection]] = {}  # most recently used first, so that the others can age out
        self._count = 0
        self._busy: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, place: Place) -> Connection | None:
        """Returns a kept connection that is open, as far as can be known without sending anything; None if there is
        none."""
        idle = self._idle.get(place)
        now_s = self._loop.time()
        while idle:
            connection = idle.pop()
            self._count -= 1
            if not _is_over(connection, now_s) and connection.is_quiet():
                self._busy.add(connection)
                return connection
            connection.abort()
        return None

    async def dial(self, place: Place) -> Connection:
        """Opens a connection. Raises what Dialer.dial raises."""
        connection = await self._dialer.dial(place)
        self._busy.add(connection)
        return connection

    def give(self, place: Place, connection: Connection) -> None:
        """Ends an exchange. Keeps the connection if it can be reused, otherwise closes it."""
        self._busy.discard(connection)
        now_s = self._loop.time()
        idle = self._idle.get(place)
        if idle is None:
            idle = self._idle[place] = []
        full = self._count >= IDLE_ALL_MAX or len(idle) >= IDLE_MAX
        if full or not connection.reusable or now_s - connection.opened_s > AGE_S:
            connection.abort()
            return
        connection.rest(now_s)
        idle.append(connection)
        self._count += 1
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_S, self._swept)

    def drop(self, connection: Connection) -> None:
        """Closes a connection in the middle of an exchange."""
        self._busy.discard(connection)
        connection.abort()

    def _swept(self) -> None:
        """Closes connections that were idle for too long, and forgets destinations without any."""
        now_s = self._loop.time()
        for place, idle in list(self._idle.items()):
            over = [each for each in idle if _is_over(each, now_s)]
            for connection in over:
                connection.abort()
            idle[:] = [each for each in idle if not each.closed]
            if not idle:
                del self._idle[place]
        self._count = sum(map(len, self._idle.values()))
        self._sweep = self._loop.call_later(IDLE_S / 2, self._swept) if self._count else None

    async def close(self) -> None:
        """Closes all connections, including those in use."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in (*self._busy, *(each for idle in self._idle.values() for each in idle)):
            connection.abort()
        self._idle.clear()
        self._busy.clear()
        self._count = 0
        await self._dialer.close()
        await asyncio.sleep(0)  # sockets close at the end of the turn


def _is_over(connection: Connection, now_s: float) -> bool:
    idle_s = min(IDLE_S, connection.idle_s)
    return connection.closed or now_s - connection.idle_since_s >= idle_s or now_s - connection.opened_s > AGE_S

"""A gRPC server on asyncio: listeners, connections, one timer for all of them, and shutdown."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from sidecar.transport.connection import Connection, connection_for
from sidecar.transport.context import Listener
from sidecar.transport.limits import Limits
from sidecar.transport.methods import Methods

# Bursts of connecting clients wait here; the kernel refuses what does not fit.
_BACKLOG = 4096
# How long handlers may clean up after the end of the grace has cancelled them.
_CANCEL_S = 2.0


class Server:
    """Bind, start, stop. `unfinished_bytes` is the memory that its connections hold for unfinished requests."""

    def __init__(self, methods: Methods, limits: Limits | None = None) -> None:
        self.methods = methods
        self.limits = limits or Limits()
        self.unfinished_bytes = 0
        self.connections: set[Connection] = set()
        self._sockets: list[tuple[socket.socket, Listener]] = []
        self._servers: list[tuple[asyncio.Server, socket.socket, Listener]] = []
        self._adopting: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._clock: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def bind_unix(self, path: str | Path, listener: Listener) -> None:
        """Listens on a unix socket that only this user can open. Raises OSError."""
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(str(path))
            Path(path).chmod(0o600)
        except OSError as error:
            bound.close()
            raise OSError(error.errno, f"Cannot listen on {path}: {error.strerror}.") from None
        self._sockets.append((bound, listener))

    def bind_tcp(self, address: str, listener: Listener) -> int:
        """Listens on an address such as `127.0.0.1:50051`, shared with other workers through SO_REUSEPORT. Returns
        the port. Raises OSError."""
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind((host, int(port)))
        except OSError as error:
            bound.close()
            raise OSError(error.errno, f"Cannot listen on {address}: {error.strerror}.") from None
        self._sockets.append((bound, listener))
        return int(bound.getsockname()[1])

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for bound, listener in self._sockets:
            bound.setblocking(False)
            factory = connection_for(self, listener)
            if bound.family == socket.AF_UNIX:
                server = await loop.create_unix_server(factory, sock=bound, backlog=_BACKLOG)
            else:
                server = await loop.create_server(factory, sock=bound, backlog=_BACKLOG)
            self._servers.append((server, bound, listener))
        self._clock = loop.call_later(self.limits.tick_s, self._tick)

    def stop_accepting(self) -> None:
        """Stops accepting TCP connections, whose port other workers serve too. Existing connections are served."""
        loop = asyncio.get_running_loop()
        for each in [each for each in self._servers if each[1].family != socket.AF_UNIX]:
            self._servers.remove(each)
            server, bound, listener = each
            for accepted in _waiting(bound):
                task = loop.create_task(self._adopt(accepted, listener))
                self._adopting.add(task)
                task.add_done_callback(self._adopting.discard)
            server.close()

    async def stop(self, grace_s: float, cuts: Callable[[], None] = lambda: None) -> None:
        """Refuses new calls. Running calls get `grace_s` seconds to finish and to be received by their clients;
        after that `cuts` is called and they are cancelled."""
        self._stopping = True
        self.stop_accepting()
        for server, _, _ in self._servers:
            server.close()
        self._servers.clear()
        for connection in tuple(self.connections):
            connection.drain()
        if not await self._emptied(grace_s):
            cuts()
            for connection in tuple(self.connections):
                for call in tuple(connection.calls):
                    call.cancel()
            await self._emptied(_CANCEL_S)
        for connection in tuple(self.connections):
            connection.abort()
        if self._clock is not None:
            self._clock.cancel()

    async def _adopt(self, accepted: socket.socket, listener: Listener) -> None:
        """Takes over a connection that was still in the backlog."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(connection_for(self, listener), accepted)
        except OSError:
            accepted.close()

    async def _emptied(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    def opened(self, connection: Connection) -> None:
        self.connections.add(connection)
        self._empty.clear()
        if self._stopping:
            connection.drain()

    def gone(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        self._clock = loop.call_later(self.limits.tick_s, self._tick)
        now = loop.time()
        for connection in tuple(self.connections):
            connection.tick(now)


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """Accepts the connections in the backlog, which the kernel would reset together with their listener."""
    while True:
        try:
            yield listening.accept()[0]
        except OSError:  # backlog is empty
            return

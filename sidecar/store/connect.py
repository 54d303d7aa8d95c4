"""Connects to the master, given the addresses in the config: TLS, credentials, sentinels, cluster nodes."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from sidecar.domain.snapshot import RedisServer, SharedStore
from sidecar.store.line import Line, Refused, StoreError, Unanswered
from sidecar.store.operations import SCRIPT, prefix_of

# A handshake takes several round trips, including TLS with a new key. Calls do not wait for it: they are decided
# without the store.
_CONNECT_S = 2.0
_MOVES_MAX = 3
_MOVED = re.compile(r"(?:MOVED|ASK) [0-9]+ (.*):([0-9]+)$")


@dataclass(frozen=True, slots=True)
class Connected:
    """`life` identifies the data: another server, another life of it or an emptied one has a different value.
    `epoch` is None if it has no sums."""

    line: Line
    life: bytes
    epoch: bytes | None


class Connector:
    """Raises StoreError if no master that can run the script is reachable."""

    def __init__(self, store: SharedStore) -> None:
        self._server = store.redis
        self._prefix = prefix_of(store.installation)
        self._tls: ssl.SSLContext | None = None

    async def connect(self) -> Connected:
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await self._connect()
        except TimeoutError:
            raise Unanswered("it did not answer") from None
        except (OSError, ValueError) as error:
            raise Unanswered(str(error) or type(error).__name__) from None

    async def _connect(self) -> Connected:
        addresses = (await self._master(),) if self._server.sentinel else self._server.addresses
        failure: StoreError = Unanswered("no address is configured")
        for address in addresses:
            try:
                return await self._connect_to(*address)
            except StoreError as error:
                failure = error
            except OSError as error:
                failure = Unanswered(str(error))
        raise failure

    async def _connect_to(self, host: str, port: int) -> Connected:
        for _ in range(_MOVES_MAX):
            line = await self._open(host, port, self._server)
            try:
                return await self._prepared(line)
            except Refused as error:
                line.abort()
                moved = _MOVED.match(str(error))
                if moved is None or not self._server.cluster:
                    raise
                host, port = moved[1] or host, int(moved[2])
            except BaseException:
                line.abort()
                raise
        raise Unanswered("the cluster has no master for the keys")

    async def _prepared(self, line: Line) -> Connected:
        """Verifies and prepares the connection. Raises StoreError if this is not a master, and Refused with MOVED
        for another node of a cluster."""
        epoch = await line.ask("GET", self._prefix + b"epoch")
        role = await line.ask("ROLE")
        if role[0] != b"master":
            raise Unanswered("it is a replica")
        await line.ask("SCRIPT", "LOAD", SCRIPT)
        info: bytes = await line.ask("INFO", "server")
        run_id = re.search(rb"run_id:(\w+)", info)
        ready = epoch if epoch is not None and epoch.startswith(b"ready") else None
        return Connected(line, (run_id[1] if run_id else b"") + (ready or b""), ready)

    async def _open(self, host: str, port: int, server: RedisServer) -> Line:
        loop = asyncio.get_running_loop()
        if port == 0:
            _, line = await loop.create_unix_connection(Line, host)
        else:
            _, line = await loop.create_connection(Line, host, port, ssl=await self._context(server))
        try:
            if server.password is not None:
                user = (server.username,) if server.username else ()
                await line.ask("AUTH", *user, server.password.reveal())
            if server.db:
                await line.ask("SELECT", server.db)
        except BaseException:
            line.abort()
            raise
        return line

    async def _context(self, server: RedisServer) -> ssl.SSLContext | None:
        """Loading the system's certificates takes tens of milliseconds, so it happens in a thread, once."""
        if not server.tls:
            return None
        if self._tls is None:
            pem = None if server.ca is None else server.ca.pem
            self._tls = await asyncio.to_thread(ssl.create_default_context, cadata=pem)
        return self._tls

    async def _master(self) -> tuple[str, int]:
        """Returns the master according to the first sentinel that answers."""
        failure: StoreError = Unanswered("no sentinel answered")
        for host, port in self._server.addresses:
            try:
                async with self._sentinel(host, port) as line:
                    found = await line.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._server.sentinel)
                if found is not None:
                    return found[0].decode(), int(found[1])
                failure = Unanswered(f'the sentinel knows no master "{self._server.sentinel}"')
            except StoreError as error:
                failure = error
            except OSError as error:
                failure = Unanswered(str(error))
        raise failure

    @asynccontextmanager
    async def _sentinel(self, host: str, port: int) -> AsyncIterator[Line]:
        """Sentinels are queried without the password, which is that of the servers."""
        line = await self._open(host, port, replace(self._server, password=None, db=0))
        try:
            yield line
        finally:
            line.abort()

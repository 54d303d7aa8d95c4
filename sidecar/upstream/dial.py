"""Opens connections: addresses, sockets, proxies, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial
from typing import NamedTuple

from sidecar.upstream.address import Address, Addresses, endpoint_of
from sidecar.upstream.connection import Connection
from sidecar.upstream.failures import (
    ConnectFailed,
    Failure,
    OutOfResources,
    ProxyRefused,
    TlsRefused,
    is_out_of_resources,
)
from sidecar.upstream.gathering import Gathering
from sidecar.upstream.proxy import proxy_headers
from sidecar.upstream.trust import Contexts, Identity, Trust

# RFC 8305's value: if an address has not answered by then, the next one is tried in parallel.
_NEXT_ADDRESS_S = 0.25
# If a host has more addresses than this, one of the first is alive.
_ADDRESSES_MAX = 8


class Place(NamedTuple):  # hashed twice per call, which tuples do in C
    """The destination of a pool of connections, any of which can serve any of its calls."""

    tls: bool
    host: str
    port: int
    proxy: str | None
    trust: Trust
    identity: Identity = None


class Dialer:
    """Opens connections. The caller bounds the time."""

    def __init__(self) -> None:
        self._addresses = Addresses()
        self._contexts = Contexts()
        self._gathering = Gathering()

    async def dial(self, place: Place) -> Connection:
        """Raises ConnectFailed, ProxyRefused, TlsRefused, OutOfResources. If cancelled, it leaves no socket open."""
        # First, so that an unreadable bundle does not cost a connection.
        context = await self._contexts.of(place.trust, place.identity) if place.tls else None
        if place.proxy is None:
            return await self._open(place.host, place.port, context)
        proxy = endpoint_of(place.proxy)
        # The client certificate is meant for the provider, not for the proxy.
        to_proxy = await self._contexts.of(place.trust) if proxy.tls else None
        try:
            connection = await self._open(proxy.host, proxy.port, to_proxy)
        except (ConnectFailed, TlsRefused) as failure:
            raise ProxyRefused(f"Cannot connect to the proxy {proxy.authority}.") from failure
        if context is None:
            return connection
        try:
            await _tunnel(connection, place)
            await _secure(connection, context, place.host)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _open(self, host: str, port: int, context: ssl.SSLContext | None) -> Connection:
        sock = await self._socket(host, port)
        connection: Connection | None = None
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                partial(Connection, self._gathering), sock=sock, ssl=context, server_hostname=host if context else None
            )
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise TlsRefused("The handshake failed.") from error
        except OSError as error:
            if is_out_of_resources(error):
                raise OutOfResources("No socket could be opened.") from error
            self._addresses.forget(host, port)
            failed = (
                TlsRefused("The connection was closed during the handshake.")
                if context
                else ConnectFailed("The connection was closed at once.")
            )
            raise failed from error
        finally:
            if connection is None:
                sock.close()
        connection.watch(sock)
        return connection

    async def _socket(self, host: str, port: int, *, moved_from: tuple[Address, ...] = ()) -> socket.socket:
        """Returns a connected socket. Cached addresses may be outdated: if none answers, the name is looked up once
        more and new addresses are tried at once."""
        kept = self._addresses.keeps(host, port)
        addresses = [each for each in await self._addresses.of(host, port) if each not in moved_from]
        try:
            return await _connect(addresses[:_ADDRESSES_MAX])
        except OSError as error:
            if is_out_of_resources(error):
                raise OutOfResources("No socket could be opened.") from error
            self._addresses.forget(host, port)
            failure = ConnectFailed(_refused_by(addresses, port))
            failure.__cause__ = error
        except asyncio.CancelledError:
            self._addresses.forget(host, port)  # the time is up
            raise
        if kept and set(await self._addresses.of(host, port)) - set(addresses):
            return await self._socket(host, port, moved_from=tuple(addresses))
        raise failure

    async def close(self) -> None:
        await self._addresses.close()
        await self._contexts.close()


def _refused_by(addresses: list[Address], port: int) -> str:
    first = addresses[0][1][0]
    others = f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    return f"{first}{others} did not accept a connection on port {port}."


async def _connect(addresses: list[Address]) -> socket.socket:
    """Returns the first connection to succeed (RFC 8305). Raises the OSError of the first address."""
    if len(addresses) == 1:
        return await _connect_one(addresses[0])
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[socket.socket]] = []
    left = list(addresses)
    errors: list[BaseException] = []
    try:
        while left or tasks:
            if left:
                tasks.append(loop.create_task(_connect_one(left.pop(0))))
            done, _ = await asyncio.wait(
                tasks, timeout=_NEXT_ADDRESS_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                if (error := task.exception()) is None:
                    tasks.remove(task)
                    return task.result()
                tasks.remove(task)
                errors.append(error)
        raise errors[0]
    finally:
        for task in tasks:
            task.add_done_callback(_close_late)
            task.cancel()


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """Closes a connection that lost the race, or whose caller has left."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _connect_one(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


async def _tunnel(connection: Connection, place: Place) -> None:
    """RFC 9110 section 9.3.6."""
    name = f"[{place.host}]" if ":" in place.host else place.host
    authority = f"{name}:{place.port}"
    assert place.proxy is not None
    credentials = "".join(f"{name}: {value}\r\n" for name, value in proxy_headers(place.proxy))
    request = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{credentials}\r\n".encode("ascii")
    try:
        head = await connection.send(request, b"", bodiless=True)
    except Failure as failure:
        raise ProxyRefused("The proxy did not answer CONNECT.") from failure
    if not 200 <= head.status < 300:
        raise proxy_refusal(head.status)
    if connection.surplus or connection.closed:
        raise ProxyRefused("The proxy sent data after its answer to CONNECT.")
    connection.rest(asyncio.get_running_loop().time())


def proxy_refusal(status: int) -> ProxyRefused:
    """407 always comes from the proxy."""
    needs = ": it requires a user and a password" if status == 407 else ""
    return ProxyRefused(f"The proxy answered {status}{needs}.")


async def _secure(connection: Connection, context: ssl.SSLContext, host: str) -> None:
    try:
        await connection.secure(context, host)
    except (ssl.SSLError, ssl.CertificateError) as error:
        raise TlsRefused("The handshake failed.") from error
    except (OSError, ConnectFailed) as error:
        raise TlsRefused("The connection was closed during the handshake.") from error

"""The way to a provider: names, addresses, and how long it may take."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest
import trustme
import uvloop

from adapters import GatewayError, Kind
from tests.processes import free_port
from tests.upstream.raw import OK, a_client, fetch, raw_server

UNAVAILABLE = (Kind.UPSTREAM_UNAVAILABLE, "Cannot connect to the provider.")
LATE = (Kind.UPSTREAM_TIMEOUT, "Cannot connect to the provider in time.")

Resolve = Callable[[str, int], Awaitable[list[Any]]]


class _Names:
    """A resolver of the test's own under the loop: what the system's would say."""

    resolve: Resolve
    lookups = 0

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        addresses = [host]
        if not host[0].isdigit() and ":" not in host:  # uvloop asks for addresses, too, before it connects
            self.lookups += 1
            addresses = await self.resolve(host, port)
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]


class _AsyncioLoop(_Names, asyncio.SelectorEventLoop):
    pass


class _UvLoop(_Names, uvloop.Loop):  # type: ignore[misc]
    pass


BOTH_LOOPS = pytest.mark.parametrize("make", [_AsyncioLoop, _UvLoop])


def run(make: Callable[[], Any], resolve: Resolve, main: Callable[[Any], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=make) as runner:
        loop: Any = runner.get_loop()
        loop.resolve = resolve

        async def in_time() -> None:
            async with asyncio.timeout(20):
                await main(loop)

        runner.run(in_time())


async def failure(awaitable: Awaitable[object]) -> tuple[Kind, str]:
    with pytest.raises(GatewayError) as caught:
        await awaitable
    return caught.value.kind, caught.value.message


async def test_a_port_nobody_listens_on_and_a_name_nobody_has() -> None:
    async with a_client() as client:
        assert await failure(fetch(client, free_port())) == UNAVAILABLE
        assert await failure(fetch(client, 80, host="no-such-host.invalid")) == UNAVAILABLE
        assert await failure(fetch(client, 80, host=".".join(["a" * 60] * 5))) == UNAVAILABLE
        assert await failure(fetch(client, 80, host="a" * 70 + ".example")) == UNAVAILABLE


@BOTH_LOOPS
def test_a_dead_address_does_not_keep_a_call_from_the_next(make: Callable[[], Any]) -> None:
    """One refuses; one that answers nothing (a full queue of connections) is overtaken after a quarter of a second."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "::1", "127.0.0.1"]

    async def main(loop: Any) -> None:
        async with raw_server(OK) as server, a_client() as client:
            assert await fetch(client, server.port, host="provider.example") == (200, b"ok")

    run(make, resolve, main)


@BOTH_LOOPS
def test_an_address_that_stays_silent_is_overtaken_by_the_next(make: Callable[[], Any]) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    async def main(loop: Any) -> None:
        async with raw_server(OK) as server, a_client() as client:
            # Its queue holds one connection, and that is taken: the kernel drops what comes.
            with closing(socket.socket()) as silent:
                silent.bind(("127.0.0.9", server.port))
                silent.listen(0)
                with closing(socket.create_connection(("127.0.0.9", server.port))):
                    assert await fetch(client, server.port, host="provider.example") == (200, b"ok")

    run(make, resolve, main)


@BOTH_LOOPS
def test_a_name_is_looked_up_once_for_all_and_kept(make: Callable[[], Any]) -> None:
    gate = asyncio.Event()

    async def resolve(host: str, port: int) -> list[str]:
        await gate.wait()
        return ["127.0.0.1"]

    async def main(loop: Any) -> None:
        async with raw_server(OK) as server, a_client() as client:
            calls = [asyncio.create_task(fetch(client, server.port, host="provider.example")) for _ in range(50)]
            while not loop.lookups:
                await asyncio.sleep(0)
            calls[0].cancel()  # one that leaves does not take the others' answer along
            gate.set()
            assert await asyncio.gather(*calls[1:]) == [(200, b"ok")] * 49
            assert await fetch(client, server.port, host="provider.example", fresh=True) == (200, b"ok")
            assert loop.lookups == 1

    run(make, resolve, main)


@BOTH_LOOPS
def test_a_failed_connection_forgets_the_address(make: Callable[[], Any]) -> None:
    """The provider has moved: the next call finds it, not one after half a minute."""
    addresses = ["127.0.0.9"]

    async def resolve(host: str, port: int) -> list[str]:
        return addresses

    async def main(loop: Any) -> None:
        async with raw_server(OK) as server, a_client() as client:
            assert await failure(fetch(client, server.port, host="provider.example")) == UNAVAILABLE
            addresses[:] = ["127.0.0.1"]
            assert await fetch(client, server.port, host="provider.example") == (200, b"ok")

    run(make, resolve, main)


@BOTH_LOOPS
def test_a_provider_that_has_moved_is_found_within_the_same_call(make: Callable[[], Any]) -> None:
    addresses = ["127.0.0.9"]

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    async def main(loop: Any) -> None:
        async with raw_server(OK) as server, a_client() as client:
            before = await asyncio.start_server(server.serve, "127.0.0.9", server.port)
            assert await fetch(client, server.port, host="provider.example") == (200, b"ok")
            before.close()
            addresses[:] = ["127.0.0.1", "127.0.0.9"]
            assert await fetch(client, server.port, host="provider.example", fresh=True) == (200, b"ok")
            assert loop.lookups == 2
            # One whose name has not moved is asked for once more and no oftener.
            addresses[:] = ["127.0.0.9"]
            for lookups in (3, 4):
                assert await failure(fetch(client, server.port, host="other.example")) == UNAVAILABLE
                assert loop.lookups == lookups

    run(make, resolve, main)


@BOTH_LOOPS
def test_a_lookup_that_hangs_ends_with_the_time_to_connect(make: Callable[[], Any]) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async def main(loop: Any) -> None:
        async with a_client() as client:
            assert await failure(fetch(client, 80, host="provider.example", connect_s=0.1)) == LATE
            assert await failure(fetch(client, 80, host="provider.example", connect_s=0.1)) == LATE
            assert loop.lookups == 1

    run(make, resolve, main)


@BOTH_LOOPS
def test_an_address_that_stays_silent_ends_with_the_time_to_connect(make: Callable[[], Any]) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def main(loop: Any) -> None:
        with closing(socket.socket()) as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(0)
            port = silent.getsockname()[1]
            with closing(socket.create_connection(("127.0.0.1", port))):
                async with a_client() as client:
                    assert await failure(fetch(client, port, host="provider.example", connect_s=0.3)) == LATE

    run(make, resolve, main)


@pytest.mark.parametrize("tls", [False, True])
async def test_time_in_which_the_worker_was_busy_is_not_the_providers(tls: bool) -> None:
    """Three times the time to connect goes by in one turn of the loop; the provider answers in its first one."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    fields: dict[str, Any] = {"connect_s": 0.5, "fresh": True}
    with ca.cert_pem.tempfile() as ca_file:
        if tls:
            fields |= {"scheme": "https", "ca_file": ca_file}
        async with raw_server(OK, tls=context if tls else None) as server, a_client() as client:
            assert await fetch(client, server.port, **{**fields, "connect_s": 10}) == (200, b"ok")
            call = asyncio.create_task(fetch(client, server.port, **fields))
            await asyncio.sleep(0)
            time.sleep(1.5)  # noqa: ASYNC251 - as JSON of 31 MB does
            assert await call == (200, b"ok")


async def test_an_ipv6_address_is_taken_out_of_its_brackets_and_said_in_them() -> None:
    with closing(socket.socket(socket.AF_INET6)) as listener:
        listener.bind(("::1", 0))
        listener.listen()
        listener.setblocking(False)
        port = listener.getsockname()[1]
        loop = asyncio.get_running_loop()
        async with a_client() as client:
            call = asyncio.create_task(fetch(client, port, host="[::1]"))
            connection, _ = await loop.sock_accept(listener)
            with closing(connection):
                head = await loop.sock_recv(connection, 65536)
                assert f"\r\nHost: [::1]:{port}\r\n".encode() in head
                await loop.sock_sendall(connection, OK)
                assert await call == (200, b"ok")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "http://[::1", "http://127.0.0.1:x", "127.0.0.1"])
async def test_a_url_that_leads_nowhere_is_a_failure_of_our_own(url: str) -> None:
    from adapters import HttpCall
    from sidecar.domain.snapshot import Timeouts, Upstream

    async with a_client() as client:
        upstream = Upstream("openai", "gpt-test", url, None, (), {})
        assert (await failure(client.open(HttpCall(url, b""), upstream, (), Timeouts())))[0] is Kind.INTERNAL

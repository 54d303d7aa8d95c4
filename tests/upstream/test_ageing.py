"""What only time shows, on a loop whose clock is set forward."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from sidecar.upstream.pool import AGE_S, IDLE_S
from tests.processes import reached
from tests.upstream.raw import OK, a_client, fetch, raw_server


class _Clock(asyncio.SelectorEventLoop):
    """`ahead_s` is added to its time; "provider.example" is this machine."""

    ahead_s = 0.0
    lookups = 0

    def time(self) -> float:
        return super().time() + self.ahead_s

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> list[Any]:
        self.lookups += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def run(main: Callable[[_Clock], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=_Clock) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, _Clock)

        async def started() -> None:
            await main(loop)

        runner.run(started())


def test_an_idle_connection_is_closed_though_nobody_calls() -> None:
    async def main(loop: _Clock) -> None:
        async with raw_server(OK) as server, a_client() as client:
            await fetch(client, server.port)
            loop.ahead_s += IDLE_S - 1
            await fetch(client, server.port)
            assert (server.connections, server.open) == (1, 1)
            loop.ahead_s += IDLE_S
            await reached(lambda: server.open == 0)

    run(main)


def test_an_idle_connection_is_not_used_after_its_time() -> None:
    async def main(loop: _Clock) -> None:
        wire = OK.replace(b"\r\n\r\n", b"\r\nkeep-alive: timeout=5\r\n\r\n")
        for answer, lasts_s in ((OK, IDLE_S), (wire, 4.0)):
            async with raw_server(answer) as server, a_client() as client:
                await fetch(client, server.port)
                loop.ahead_s += lasts_s - 0.5
                await fetch(client, server.port)
                assert server.connections == 1
                loop.ahead_s += lasts_s
                await fetch(client, server.port)
                assert server.connections == 2

    run(main)


def test_a_connection_that_is_always_busy_is_replaced_by_and_by() -> None:
    async def main(loop: _Clock) -> None:
        async with raw_server(OK) as server, a_client() as client:
            for _ in range(int(AGE_S / 20) + 2):
                await fetch(client, server.port)
                loop.ahead_s += 20
            assert server.connections == 2

    run(main)


def test_an_address_is_asked_for_again_after_a_while() -> None:
    async def main(loop: _Clock) -> None:
        async with raw_server(OK) as server, a_client() as client:
            before = loop.lookups
            for ahead_s, lookups in ((0, 1), (29, 1), (2, 2)):
                loop.ahead_s += ahead_s
                await fetch(client, server.port, host="provider.example", fresh=True)
                assert loop.lookups - before == lookups

    run(main)

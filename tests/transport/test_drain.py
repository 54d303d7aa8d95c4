"""The way out: a server that stops, and one in whose place another serves already, lose no call."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from sidecar.transport import Limits, Listener
from sidecar.transport.server import Server
from tests.processes import reached
from tests.transport.raw import END_HEADERS, HEADERS, HELLO, PING, Raw, block, frame, message
from tests.transport.service import Serving, methods_of

ECHO, WAIT = "/test.Bytes/echo", "/test.Bytes/wait"
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


async def test_a_drain_lets_calls_finish_and_ends_with_the_last(native: Serving) -> None:
    async with await Raw.to(native.port) as client:
        client.acknowledges = False
        client.call(1, WAIT)
        await reached(lambda: native.servicer.live == 1)
        stopping = asyncio.create_task(native.server.stop(30))
        await client.until(lambda: bool(client.pings))
        client.call(3, ECHO, b"sent before the farewell came")
        client.acknowledge()
        assert (await client.answer(3)).status == 0
        native.servicer.let_all_go()
        assert (await client.answer(1)).data == message(b"waited")
        assert await client.until_closed() == 0
        client.close()
        await asyncio.wait_for(stopping, 10)


async def test_what_a_client_begins_after_the_farewell_was_confirmed_is_not_begun(native: Serving) -> None:
    async with await Raw.to(native.port) as client:
        client.call(1, WAIT)
        await reached(lambda: native.servicer.live == 1)
        stopping = asyncio.create_task(native.server.stop(30))
        await client.until(lambda: len(client.goaways) == 2)
        assert client.goaways[1] == (1, 0), "the second says which stream was the last"
        client.send(frame(HEADERS, END_HEADERS, 3, block(ECHO)))
        native.servicer.let_all_go()
        await client.answer(1)
        await client.until_closed()
        assert not client.of(3).headers
        client.close()
        await asyncio.wait_for(stopping, 10)


LATE: dict[str, Callable[[Raw], None]] = {
    "a whole request": lambda client: client.data(3, message(b"late"), end=True),
    "a window": lambda client: client.window(3, 1000),
    "a reset": lambda client: client.reset(3),
}


@pytest.mark.parametrize("what", LATE)
async def test_what_belongs_to_a_request_that_came_too_late_ends_no_other_call(native: Serving, what: str) -> None:
    """gRPC's clients do not know yet that it will not be served, and go on with it."""
    async with await Raw.to(native.port) as client:
        client.call(1, WAIT)
        await reached(lambda: native.servicer.live == 1)
        stopping = asyncio.create_task(native.server.stop(30))
        await client.until(lambda: len(client.goaways) == 2)
        pings = client.kinds.count(PING)
        client.begin(3, ECHO)
        LATE[what](client)
        client.send(frame(PING, 0, 0, b"all read"))
        await client.until(lambda: client.kinds.count(PING) > pings)
        native.servicer.let_all_go()
        assert (await client.answer(1)).data == message(b"waited")
        assert await client.until_closed() == 0
        client.close()
        await asyncio.wait_for(stopping, 10)


async def test_calls_that_outlast_the_grace_are_cancelled(native: Serving) -> None:
    async with await Raw.to(native.port) as client:
        client.call(1, WAIT)
        await reached(lambda: native.servicer.live == 1)
        stopping = asyncio.create_task(native.server.stop(0.05))
        assert (await client.answer(1)).status == 1
        assert native.servicer.cancelled == 1
        client.close()
        await asyncio.wait_for(stopping, 10)


async def test_a_silent_connection_does_not_hold_a_drain_up() -> None:
    async with Serving(limits=Limits(fault_linger_s=0.05)) as serving:
        async with await Raw.to(serving.port, b"") as _:
            await reached(lambda: bool(serving.server.connections))
            await asyncio.wait_for(serving.server.stop(30), 5)


async def test_a_client_that_has_not_taken_everything_is_waited_for() -> None:
    """Its kernel has no room. What it says meanwhile (a ping) must not be answered by a reset that throws the rest away."""
    async with Serving() as serving:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", serving.port))
        reader, writer = await asyncio.open_connection(sock=small, limit=4096)
        client = Raw(reader, writer)
        client.send(HELLO)
        client.call(1, "/test.Bytes/stream", b"20 20000")
        await client.until(lambda: len(client.of(1).data) > 10_000)
        stopping = asyncio.create_task(serving.server.stop(30))
        await reached(lambda: serving.servicer.live == 0)
        client.send(frame(PING, 0, 0, b"too late"))
        while not client.of(1).done:
            assert not stopping.done()
            assert await client.read()
        assert len(client.of(1).data) == 20 * 20_005
        await client.until_closed()
        client.close()
        await asyncio.wait_for(stopping, 10)


async def test_a_server_that_is_replaced_on_its_port_loses_no_call() -> None:
    """Two share the port; the old one stops listening and drains while calls go on."""
    async with Serving(limits=Limits(age_s=0.2, tick_s=0.02)) as old:
        new = Server(methods_of(old.servicer, old.health), Limits())
        done = 0
        stop = asyncio.Event()

        async def caller() -> None:
            nonlocal done
            async with grpc.aio.insecure_channel(old.target, OPTIONS) as channel:
                echo: Any = channel.unary_unary(ECHO, bytes, bytes)
                while not stop.is_set():
                    assert await echo(b"hi") == b"hi"
                    done += 1

        callers = [asyncio.create_task(caller()) for _ in range(4)]
        await reached(lambda: done > 50)
        new.bind_tcp(old.target, Listener.LOCAL)
        await new.start()
        old.server.stop_accepting()
        await reached(lambda: not old.server.connections)
        await old.server.stop(5)
        served = done
        await reached(lambda: done > served + 50)
        stop.set()
        await asyncio.gather(*callers)
        await new.stop(1)


async def test_connections_that_wait_to_be_accepted_are_served_by_a_server_that_stops_listening() -> None:
    async with Serving() as serving:
        waiting = [
            socket.create_connection(("127.0.0.1", serving.port)) for _ in range(20)
        ]  # the loop does not turn here
        serving.server.stop_accepting()
        await reached(lambda: len(serving.server.connections) == 20)
        for each in waiting:
            each.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", serving.port))


async def test_callers_are_known_by_the_listener_they_come_by(tmp_path: Path) -> None:
    front = tmp_path / "front.sock"
    async with Serving(unix=front) as serving:
        assert stat.S_IMODE(front.stat().st_mode) == 0o600
        for target, listener in ((f"unix:{front}", b"front"), (serving.target, b"local")):
            async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
                ask: Any = channel.unary_unary("/test.Bytes/listener", bytes, bytes)
                assert await ask(b"") == listener

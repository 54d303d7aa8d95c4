"""Callers that leave, and providers that flood: the socket is closed at once, and nobody beside them waits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import create_server, socket

import psutil
import pytest

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Timeouts
from sidecar.upstream import UpstreamClient
from tests.gateway.in_process import Core, openai, to
from tests.processes import reached
from tests.provider import Provider
from tests.scale import scaled
from tests.upstream.raw import OK, RawServer, Request, a_client, fetch, never, opened, raw_server, sockets

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
ROUNDS = scaled(200, 40)


async def before_the_head(client: UpstreamClient, port: int) -> None:
    await opened(client, port)


async def in_the_body(client: UpstreamClient, port: int) -> None:
    response = await opened(client, port)
    try:
        while await response.read_some():
            pass
    finally:
        response.close()


async def while_sending(client: UpstreamClient, port: int) -> None:
    await opened(client, port, body=bytes(8 << 20))


async def first_piece(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(CHUNKED + b"3\r\none\r\n")
    await writer.drain()
    await request.reader.read()


async def deaf(request: Request, writer: asyncio.StreamWriter) -> None:
    """The reader takes its two megabytes, and no more."""
    await writer.wait_closed()


PHASES = {
    "before the head": (before_the_head, never, True),
    "in the body": (in_the_body, first_piece, True),
    "while sending": (while_sending, deaf, False),
}


@pytest.mark.parametrize(("call", "answer", "reads_body"), PHASES.values(), ids=PHASES)
async def test_a_call_that_is_left_closes_its_socket_within_a_turn_of_the_loop(
    call: Callable[[UpstreamClient, int], object], answer: Callable[..., object], reads_body: bool
) -> None:
    """All of them, by the descriptors of this process: not by what a provider comes to hear of it, and when."""
    late = 0
    async with raw_server(answer, reads_body=reads_body) as server, a_client() as client:  # type: ignore[arg-type]
        for number in range(ROUNDS):
            task = asyncio.ensure_future(call(client, server.port))  # type: ignore[call-overload]
            await reached(lambda count=number + 1: len(server.requests) == count)  # type: ignore[misc]
            if call is in_the_body:
                await asyncio.sleep(0.001)
            before = sockets()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            late += sockets() >= before
        assert late == 0
        assert server.connections == ROUNDS


async def test_twenty_thousand_left_streams_leave_nothing_behind() -> None:
    """A part of them here; descriptors, tasks and memory."""
    count = scaled(20_000, 500)
    process = psutil.Process()
    async with raw_server(first_piece) as server, a_client() as client:

        async def leave(times: int) -> None:
            for _ in range(times):
                response = await opened(client, server.port)
                assert await response.read_some() == b"one"
                response.close()
            server.requests.clear()
            server.writers.clear()

        await leave(200)
        await reached(lambda: server.open == 0)
        fds, tasks, rss = process.num_fds(), len(asyncio.all_tasks()), process.memory_info().rss
        for _ in range(10):
            await leave(count // 10)
            await reached(lambda: server.open == 0)
        # The server's socket closes a turn after the server has counted it as closed.
        await reached(lambda: (process.num_fds(), len(asyncio.all_tasks())) == (fds, tasks))
        assert process.memory_info().rss - rss < 8 << 20


@contextmanager
def flooding(first: bytes, again: bytes) -> Iterator[int]:
    """A server in a thread of its own that writes as fast as it can; its port."""
    listener = create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def one(connection: socket) -> None:
        with connection:
            try:
                connection.recv(1 << 16)
                connection.sendall(first)
                while not stop.is_set():
                    connection.sendall(again)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        stop.set()
        listener.close()


@asynccontextmanager
async def a_neighbour(client: UpstreamClient) -> AsyncIterator[list[float]]:
    """Calls one after the other at a good provider; how long each took."""
    took: list[float] = []
    server: RawServer

    async with raw_server(OK) as server:

        async def calls() -> None:
            while True:
                began = time.perf_counter()
                assert await fetch(client, server.port) == (200, b"ok")
                took.append(time.perf_counter() - began)

        task = asyncio.create_task(calls())
        await reached(lambda: len(took) > 3)
        took.clear()
        try:
            yield took
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


# What a neighbour may wait: ten times what was seen on a busy machine. Before, it waited as long as the flood went on.
NEIGHBOUR_S = 1.0


async def test_a_flood_of_interim_answers_ends_the_call_and_a_neighbour_does_not_wait() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    process = psutil.Process()
    with flooding(hint, hint * 2_000) as port:
        async with a_client() as client, a_neighbour(client) as took:
            rss = process.memory_info().rss
            for _ in range(10):
                async with asyncio.timeout(10):
                    with pytest.raises(GatewayError) as caught:
                        await opened(client, port)
                assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
                assert "informational" in caught.value.message
                count = len(took)
                await reached(lambda count=count: len(took) > count)  # type: ignore[misc]
            assert max(took) < NEIGHBOUR_S
            assert process.memory_info().rss - rss < 32 << 20


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(b"40000\r\n" + b": " + b"x" * ((1 << 18) - 4) + b"\n\n\r\n", id="comments"),
        pytest.param(b"1\r\n:\r\n1\r\n\n\r\n" * 10_000, id="chunks of a byte"),
    ],
)
async def test_a_flood_of_a_body_leaves_a_neighbour_its_turn(again: bytes) -> None:
    with flooding(CHUNKED, again) as port:
        async with a_client() as client, a_neighbour(client) as took:
            response = await opened(client, port)
            end_s = time.perf_counter() + 0.5
            while time.perf_counter() < end_s:
                assert 0 < len(await response.read_some()) <= 2 * 64 * 1024
            response.close()
            assert len(took) > 5
            assert max(took) < NEIGHBOUR_S


async def test_each_timeout_of_a_route_ends_a_call_at_its_own_place(provider: Provider) -> None:
    """connect is in test_dial; write is the client's side."""
    from tests.provider import End, Reply

    silent = Reply(head=False, end=End.STALL)
    after_head = Reply(parts=[b"{"], end=End.STALL, cut_at=0)
    in_body = Reply(parts=[b'{"id":', b'"x"}'], end=End.STALL, cut_at=6)
    never_s = 60.0
    for reply, limits, streamed in (
        (silent, {"total_s": 0.3}, False),
        (silent, {"first_output_s": 0.3}, True),
        (after_head, {"idle_s": 0.3}, False),
        (after_head, {"first_output_s": 0.3}, True),
        (in_body, {"idle_s": 0.3}, False),
        (in_body, {"total_s": 0.3}, True),
    ):
        provider.script = lambda call, reply=reply: reply
        values = {"first_output_s": never_s, "idle_s": never_s, "total_s": never_s, **limits}
        async with Core(to(openai(provider), timeouts=Timeouts(**values))) as core:
            began = time.perf_counter()
            with pytest.raises(GatewayError) as caught:
                await core.ask(streamed)
            assert caught.value.kind is Kind.UPSTREAM_TIMEOUT, (reply, limits)
            assert 0.25 < time.perf_counter() - began < 5
            await provider.until(lambda p: not p.open_connections)

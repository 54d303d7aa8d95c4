"""Connections that are kept: used again while that is safe, and a call sent once more only where it is known to be."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter

import pytest

from adapters import GatewayError, Kind
from sidecar.upstream import UpstreamClient
from sidecar.upstream.pool import IDLE_MAX
from tests.processes import reached
from tests.scale import scaled
from tests.upstream.raw import OK, RawServer, Request, a_client, fetch, opened, raw_server, reset, whole

HALF = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"


class OnReuse:
    """Answers the first request of each connection well and does `end` to the others."""

    def __init__(self, end: str) -> None:
        self.end = end
        self.requests: Counter[int] = Counter()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests[request.connection] += 1
        if self.requests[request.connection] == 1:
            writer.write(OK)
            return
        if self.end == "half an answer":
            writer.write(HALF)
            await writer.drain()
        if self.end == "late":
            await asyncio.sleep(1.2)
        if self.end == "reset":
            reset(writer)
        else:
            writer.close()


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_kept_connection_that_ends_without_an_answer_is_replaced_once(end: str) -> None:
    resent: list[None] = []
    async with raw_server(OnReuse(end)) as server, a_client() as client:
        for _ in range(4):
            assert await fetch(client, server.port, resent=lambda: resent.append(None)) == (200, b"ok")
        # The second call met the end of the first connection, the fourth that of the second.
        assert (len(server.requests), server.connections, len(resent)) == (7, 4, 3)


async def test_a_fresh_connection_that_ends_without_an_answer_is_a_failure() -> None:
    async def end(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.close()

    resent: list[None] = []
    async with raw_server(end) as server, a_client() as client:
        with pytest.raises(GatewayError) as caught:
            await fetch(client, server.port, resent=lambda: resent.append(None))
        assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
        assert (len(server.requests), resent) == (1, [])


async def test_the_fresh_one_that_fails_too_is_the_last() -> None:
    number = 0

    async def first_only(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        number += 1
        writer.write(OK) if number == 1 else writer.close()

    async with raw_server(first_only) as server, a_client() as client:
        assert await fetch(client, server.port) == (200, b"ok")
        with pytest.raises(GatewayError):
            await fetch(client, server.port)
        assert len(server.requests) == 3


@pytest.mark.parametrize("end", ["half an answer", "late"])
async def test_what_the_provider_may_have_worked_on_is_not_sent_again(end: str) -> None:
    """Some of an answer had come; or a second had passed."""
    async with raw_server(OnReuse(end)) as server, a_client() as client:
        assert await fetch(client, server.port) == (200, b"ok")
        with pytest.raises(GatewayError) as caught:
            await fetch(client, server.port)
        assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
        assert len(server.requests) == 2


async def test_a_call_that_wants_a_fresh_connection_gets_one() -> None:
    async with raw_server(OK) as server, a_client() as client:
        for _ in range(3):
            assert await fetch(client, server.port, fresh=True) == (200, b"ok")
        assert server.connections == 3


async def test_a_connection_that_ended_while_idle_is_not_used() -> None:
    async with raw_server(OK) as server, a_client() as client:
        await fetch(client, server.port)
        resent: list[None] = []
        server.writers[0].close()
        await reached(lambda: server.open == 0)
        assert await fetch(client, server.port, resent=lambda: resent.append(None)) == (200, b"ok")
        assert (server.connections, resent) == (2, [])


async def test_nothing_goes_out_on_a_connection_whose_end_only_the_kernel_knows() -> None:
    """The loop has no turn between the end and the call."""
    async with raw_server(OK) as server, a_client() as client:
        await fetch(client, server.port)
        resent: list[None] = []
        with socket.socket(fileno=os.dup(server.writers[0].get_extra_info("socket").fileno())) as same:
            same.shutdown(socket.SHUT_WR)
            assert await fetch(client, server.port, resent=lambda: resent.append(None)) == (200, b"ok")
        assert (server.connections, resent) == (2, [])


async def test_a_thousand_closings_as_a_call_goes_out_are_never_noticed() -> None:
    """The server closes each connection right after its answer, without a word: the call and the end cross on the way."""

    async def then_close(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await asyncio.sleep(0)
        writer.close()

    async with raw_server(then_close) as server, a_client() as client:
        count = scaled(1000, 100)
        for _ in range(count):
            assert await fetch(client, server.port) == (200, b"ok")
        assert len(server.requests) == count


async def test_calls_at_once_have_a_connection_each_and_later_ones_share_them() -> None:
    gate = asyncio.Event()

    async def wait(request: Request, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(OK)

    async with raw_server(wait) as server, a_client() as client:
        calls = [asyncio.create_task(fetch(client, server.port)) for _ in range(20)]
        await reached(lambda: len(server.requests) == 20)
        gate.set()
        assert await asyncio.gather(*calls) == [(200, b"ok")] * 20
        assert server.connections == 20
        for _ in range(20):
            await fetch(client, server.port)
        assert server.connections == 20


async def test_the_newest_connection_is_used_first_and_a_burst_leaves_a_bounded_number() -> None:
    gate = asyncio.Event()

    async def wait(request: Request, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(OK)

    count = IDLE_MAX + 40
    async with raw_server(wait) as server, a_client() as client:
        calls = [asyncio.create_task(fetch(client, server.port)) for _ in range(count)]
        await reached(lambda: len(server.requests) == count)
        gate.set()
        await asyncio.gather(*calls)
        await reached(lambda: server.open == IDLE_MAX, what="what is too many is closed")
        for _ in range(5):
            await fetch(client, server.port)
        assert len({request.connection for request in server.requests[-5:]}) == 1


async def test_a_call_that_is_left_half_read_costs_its_connection_and_nobody_elses() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
    async with raw_server(chunked) as server, a_client() as client:
        left, read = await opened(client, server.port), await opened(client, server.port)
        assert await left.read_some() == b"one"
        left.close()
        left.close()
        await reached(lambda: server.open == 1)
        assert await left.read_some() == b""
        assert await read.read_some() == b"one"
        read.close()


async def test_what_was_not_read_of_a_whole_answer_is_not_the_next_calls() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        text = b"answer %d" % len(server.requests)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))

    server: RawServer
    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        response.close()  # all of it has come, nobody took it
        assert await fetch(client, server.port) == (200, b"answer 2")
        assert server.connections == 1


async def test_a_response_that_was_closed_reads_nothing_of_the_next_call() -> None:
    async with raw_server(OK) as server, a_client() as client:
        first = await opened(client, server.port)
        assert await whole(first) == b"ok"
        second = await opened(client, server.port)
        assert (await first.read_some(), first.ended) == (b"", True)
        assert await whole(second) == b"ok"
        assert server.connections == 1


async def test_the_end_of_a_worker_closes_what_is_idle_and_what_is_not() -> None:
    async with raw_server(OK) as server:
        client = UpstreamClient()
        idle, busy = await opened(client, server.port), await opened(client, server.port)
        await whole(idle)
        await client.close()
        await reached(lambda: server.open == 0)
        busy.close()

"""What comes in quick succession is read together, after the first output; nothing is lost or kept back by it."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from adapters import GatewayError, Kind
from sidecar.upstream import UpstreamResponse
from sidecar.upstream.gathering import GATHER_S
from tests.processes import reached
from tests.upstream.raw import RESET, Request, a_client, opened, raw_server

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = 40


def chunk(number: int) -> bytes:
    return b"3\r\n%03d\r\n" % number


class PingPong:
    """A provider that sends the next piece only when the last one was read: the fastest stream of which no two meet."""

    def __init__(self) -> None:
        self.read = asyncio.Event()

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for number in range(PIECES):
            writer.write(chunk(number))
            await self.read.wait()
            self.read.clear()
        writer.write(b"0\r\n\r\n")


async def test_a_stream_that_gathers_rests_between_its_pieces_and_gets_every_one() -> None:
    provider = PingPong()
    async with raw_server(provider.answer) as server, a_client() as client:
        response = await opened(client, server.port)
        response.gather()
        began_s = time.monotonic()
        got = []
        async with asyncio.timeout(30):
            while piece := await response.read_some():
                got.append(piece)
                provider.read.set()
        took_s = time.monotonic() - began_s
        response.close()
    assert got == [b"%03d" % number for number in range(PIECES)]
    assert took_s > PIECES / 2 * GATHER_S, "it rested"  # half: a slow machine is no quick succession


async def test_pieces_that_come_while_a_stream_rests_are_one_read() -> None:
    rested = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + chunk(0))
        await writer.drain()
        await rested.wait()
        for number in range(1, PIECES):
            writer.write(chunk(number))
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        response.gather()
        reads = [await response.read_some()]
        rested.set()
        async with asyncio.timeout(30):
            while piece := await response.read_some():
                reads.append(piece)
        response.close()
    assert b"".join(reads) == b"".join(b"%03d" % number for number in range(PIECES))
    assert len(reads) < PIECES / 2


async def test_a_stream_that_rests_can_be_left_and_its_connection_closes() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for number in range(PIECES):
            writer.write(chunk(number))
            await writer.drain()
        await request.reader.read()

    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        response.gather()
        await response.read_some()
        response.close()
        await reached(lambda: server.open == 0, what="its socket is closed")


async def test_the_next_answer_on_the_connection_does_not_rest() -> None:
    bodies = [[HEAD + chunk(0), chunk(1) + b"0\r\n\r\n"], [HEAD + chunk(2), chunk(3) + b"0\r\n\r\n"]]

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        for piece in bodies[len(server.requests) - 1]:
            writer.write(piece)
            await asyncio.sleep(0.001)

    async with raw_server(answer) as server, a_client() as client:
        got = []
        for gathers in (True, False):
            response = await opened(client, server.port)
            if gathers:
                response.gather()
            while piece := await response.read_some():
                got.append(piece)
            response.close()
    assert b"".join(got) == b"000001002003"
    assert server.connections == 1


async def test_a_connection_that_rested_is_used_again_and_its_end_is_noticed() -> None:
    provider = PingPong()
    async with raw_server(provider.answer) as server, a_client() as client:
        for _ in range(2):
            response = await opened(client, server.port)
            response.gather()
            async with asyncio.timeout(30):
                while await response.read_some():
                    provider.read.set()
            response.close()
        assert server.connections == 1
        server.writers[0].close()
        await reached(lambda: server.open == 0, what="its connection is closed")


async def test_a_reset_while_a_stream_rests_is_no_end_of_an_answer_that_lasts_as_long_as_its_connection() -> None:
    provider = PingPong()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(PIECES):
            writer.write(b"piece")
            await provider.read.wait()
            provider.read.clear()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    got = []

    async def read_all(response: UpstreamResponse) -> None:
        async with asyncio.timeout(30):
            while piece := await response.read_some():
                got.append(piece)
                provider.read.set()

    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        response.gather()
        with pytest.raises(GatewayError) as raised:
            await read_all(response)
        response.close()
    assert got == [b"piece"] * PIECES
    assert raised.value.kind is Kind.UPSTREAM_INTERRUPTED

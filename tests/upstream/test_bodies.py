"""Bodies over real sockets: large, slow, endless, compressed, and requests that are answered before they are sent."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from adapters import GatewayError, Kind
from tests.processes import reached
from tests.upstream.raw import OK, Request, a_client, fetch, opened, raw_server, whole

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BIG_BYTES = 20 << 20


async def test_twenty_megabytes_go_both_ways_and_the_connection_stays() -> None:
    async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(request.body))
        writer.write(request.body)
        await writer.drain()

    body = bytes(range(256)) * (BIG_BYTES // 256)
    async with raw_server(echo) as server, a_client() as client:
        for _ in range(2):
            assert await fetch(client, server.port, body=body) == (200, body)
        assert server.connections == 1


async def test_a_refusal_before_the_body_is_read_is_heard_and_the_rest_is_not_sent() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno"
    async with raw_server(refusal, reads_body=False) as server, a_client() as client:
        async with asyncio.timeout(10):
            assert await fetch(client, server.port, body=bytes(30 << 20)) == (413, b"no")
        await reached(lambda: server.open == 0, what="the connection is closed, as half a request is on it")


async def test_an_answer_that_begins_before_the_body_is_read_gets_the_rest_of_it() -> None:
    size = 5 << 20

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await writer.drain()
        assert len(await request.reader.readexactly(size)) == size
        writer.write(b"ok")

    async with raw_server(answer, reads_body=False) as server, a_client() as client:
        async with asyncio.timeout(10):
            assert await fetch(client, server.port, body=bytes(size)) == (200, b"ok")


@pytest.mark.parametrize("piece_bytes", [8 << 10, 1 << 20])
async def test_an_endless_body_that_nobody_reads_is_not_taken_in(piece_bytes: int) -> None:
    """What the kernel holds on both sides is a few megabytes; everything beyond it would be in memory here."""
    sent = 0
    piece = b"%x\r\n%s\r\n" % (piece_bytes, bytes(piece_bytes))

    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CHUNKED)
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            sent += piece_bytes
            await asyncio.sleep(0)

    async with raw_server(endless) as server, a_client() as client:
        response = await opened(client, server.port)
        before = -1
        while sent != before:  # until it stands still
            before = sent
            await asyncio.sleep(0.1)
            assert sent < 64 << 20
        read = 0
        while read < before:
            read += len(await response.read_some())
        response.close()
        await reached(lambda: server.open == 0)


async def test_a_refusal_whose_request_was_not_sent_to_its_end_costs_the_connection() -> None:
    """Though the provider goes on reading, and nothing waits to be written: what follows would be read as the body."""

    async def refuse(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.headers["content-length"] == "2":
            writer.write(OK)
            return
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n")
        await writer.drain()
        try:
            while True:
                async with asyncio.timeout(0.2):
                    await request.reader.read(1 << 20)
        except TimeoutError:
            writer.write(b"no")

    async with raw_server(refuse, reads_body=False) as server, a_client() as client:
        assert await fetch(client, server.port, body=bytes(60 << 20)) == (413, b"no")
        assert await fetch(client, server.port) == (200, b"ok")
        assert server.connections == 2


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip"])
async def test_an_unknown_coding_is_told_from_a_broken_one_and_leaves_the_status(coding: str) -> None:
    wire = (
        b"HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-encoding: %s\r\ncontent-length: 4\r\n\r\njunk"
        % coding.encode()
    )
    broken = wire.replace(coding.encode(), b"gzip")
    async with raw_server(wire) as one, raw_server(broken) as other, a_client() as client:
        texts = []
        for server in (one, other):
            response = await opened(client, server.port)
            assert (response.status, response.headers["retry-after"]) == (429, "7")
            with pytest.raises(GatewayError) as caught:
                await whole(response)
            assert caught.value.kind is Kind.UPSTREAM_PROTOCOL
            texts.append(caught.value.message)
        assert texts == [
            "The provider's answer uses a compression that the gateway does not support.",
            "The provider's answer cannot be decompressed.",
        ]


async def test_a_bomb_is_read_in_small_steps_between_which_others_run() -> None:
    packed = gzip.compress(bytes(50 << 20))
    wire = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed
    async with raw_server(wire) as server, a_client() as client:
        response = await opened(client, server.port)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        size = steps = 0
        while piece := await response.read_some():
            size += len(piece)
            steps += 1
            assert len(piece) <= 64 * 1024
        response.close()
        task.cancel()
        assert size == 50 << 20
        assert turns > steps / 2


async def test_events_in_compressed_chunks_come_out_as_they_arrive() -> None:
    packer = zlib.compressobj(wbits=31)
    gate = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
        for text in (b"data: one\n\n", b"data: two\n\n"):
            data = packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await gate.wait()
        data = packer.flush()
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))

    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        assert await response.read_some() == b"data: one\n\n"
        gate.set()
        assert await whole(response) == b"data: two\n\n"


async def test_a_read_that_took_too_long_may_be_asked_again_and_has_lost_nothing() -> None:
    gate = asyncio.Event()

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        for piece in (CHUNKED + b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"):
            writer.write(piece)
            await writer.drain()
            await gate.wait()

    loop = asyncio.get_running_loop()
    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        assert await response.read_some(loop.time() + 60) == b"one"
        for wait_s in (0.05, 0.0, -1.0):
            with pytest.raises(TimeoutError):
                await response.read_some(loop.time() + wait_s)
        loop.call_later(0.3, gate.set)
        with pytest.raises(TimeoutError):
            await response.read_some(loop.time() + 0.1)
        assert await response.read_some(loop.time() + 60) == b"two"
        assert await response.read_some() == b""
        response.close()
        assert await fetch(client, server.port) == (200, b"onetwo")
        assert server.connections == 1


async def test_the_limit_of_an_earlier_read_does_not_end_a_later_one() -> None:
    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"3\r\none\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"3\r\ntwo\r\n")
        await asyncio.sleep(0.3)
        writer.write(b"0\r\n\r\n")

    loop = asyncio.get_running_loop()
    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        assert await response.read_some(loop.time() + 60) == b"one"
        assert await response.read_some(loop.time() + 0.25) == b"two"
        assert await response.read_some(loop.time() + 60) == b""
        response.close()


async def test_compressed_input_that_gives_nothing_ends_by_the_limit() -> None:
    packer = zlib.compressobj(wbits=31)
    packer.compress(b"")
    nothing = packer.flush(zlib.Z_FULL_FLUSH)[10:] or b"\0\0\0\xff\xff"
    head = packer.compress(b"x") + packer.flush(zlib.Z_FULL_FLUSH)

    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10] + head)
        while not writer.is_closing():
            writer.write(nothing * 1_000)
            await writer.drain()
            await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    async with raw_server(endless) as server, a_client() as client:
        response = await opened(client, server.port)
        assert await response.read_some(loop.time() + 60) == b"x"
        async with asyncio.timeout(20):
            with pytest.raises(TimeoutError):
                await response.read_some(loop.time() + 0.1)
        response.close()

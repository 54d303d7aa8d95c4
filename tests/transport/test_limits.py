"""What a peer may ask of a connection, and what becomes of one that asks for more. By frames, on limits made small."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.transport import Limits
from tests.processes import reached
from tests.transport.raw import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Raw,
    block,
    frame,
    message,
    setting,
)
from tests.transport.service import Serving

ECHO, WAIT, STREAM = "/test.Bytes/echo", "/test.Bytes/wait", "/test.Bytes/stream"
CALM = 11
SOON = 0.05


@asynccontextmanager
async def limited(preface: bytes | None = None, **limits: Any) -> AsyncIterator[tuple[Serving, Raw]]:
    async with Serving(limits=Limits(**{"tick_s": 0.01, "fault_linger_s": 0.2, **limits})) as serving:
        async with await Raw.to(serving.port, preface) as client:
            yield serving, client


def open_and_reset(number: int) -> bytes:
    stream = 2 * number + 1
    return frame(HEADERS, END_HEADERS, stream, block(WAIT)) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))


def split_block(number: int) -> bytes:
    stream, headers = 2 * number + 1, block(ECHO)
    return frame(HEADERS, END_STREAM, stream, headers) + frame(CONTINUATION, END_HEADERS, stream)


FLOODS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "resets": ("resets_per_s", open_and_reset),
    "pings": ("pings_per_s", lambda number: frame(PING, 0, 0, struct.pack(">Q", number))),
    "settings": ("settings_per_s", lambda number: frame(SETTINGS, 0, 0, setting(3, 100))),
    "continuations": ("continuations_per_s", split_block),
    "frames": ("frames_per_s", lambda number: frame(0xBE, 0, 0)),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_a_flood_ends_its_connection(kind: str) -> None:
    limit, make = FLOODS[kind]
    async with limited(None, **{limit: 300}) as (serving, client):
        client.send(b"".join(make(number) for number in range(310)))
        assert await client.until_closed() == CALM
        await reached(lambda: not serving.server.connections)
        assert serving.servicer.live == 0


@pytest.mark.parametrize("kind", FLOODS)
async def test_as_much_as_is_allowed_is_served(kind: str) -> None:
    limit, make = FLOODS[kind]
    async with limited(None, **{limit: 300}) as (_, client):
        client.send(b"".join(make(number) for number in range(200)))
        client.call(1001, ECHO, b"hi")
        assert (await client.answer(1001)).status == 0


async def test_a_block_without_end_costs_one_block() -> None:
    async with limited(continuations_per_s=100) as (_, client):
        client.send(frame(HEADERS, END_STREAM, 1, block(ECHO)))
        for _ in range(101):
            client.send(frame(CONTINUATION, 0, 1, bytes(16_000)))
        assert await client.until_closed() in (CALM, 1)


async def test_metadata_up_to_the_limit_is_taken_and_more_is_refused() -> None:
    async with limited() as (_, client):
        for stream, size, status in ((1, 60_000, 0), (3, 66_000, 8)):
            send_block(client, stream, block(ECHO, *[(f"x-{n}", "v" * 2000) for n in range(size // 2000)]))
            client.data(stream, message(b"hi"), end=True)
            answer = await client.answer(stream)
            assert answer.status == status
        assert "metadata" in answer.last["grpc-message"]


async def test_a_header_that_the_codec_drops_in_silence_is_refused() -> None:
    """It keeps 256 KiB and says nothing of the rest: the call would go on without its largest header."""
    async with limited() as (_, client):
        send_block(client, 1, block(ECHO, ("x-large", "v" * 262_000)))
        client.data(1, message(b"hi"), end=True)
        answer = await client.answer(1)
        assert answer.status == 8


async def test_headers_that_grow_as_they_are_unpacked_are_refused() -> None:
    """An entry of 3.9 KB in the index, referred to 16,000 times in one block of 16 KB."""
    async with limited() as (_, client):
        entry = b"\x40" + b"\x05x-big" + b"\x7f\xbd\x1e" + b"v" * 4028  # 127 + 0x3d + (0x1e << 7) = 4028
        base = block(ECHO)
        client.send(frame(HEADERS, END_HEADERS, 1, base + entry))
        client.data(1, message(b"hi"), end=True)
        assert (await client.answer(1)).status == 0
        client.send(frame(HEADERS, END_HEADERS, 3, base + b"\xbe" * 16_000))
        client.data(3, message(b"hi"), end=True)
        await client.until(lambda: client.of(3).done or bool(client.goaways))
        assert client.goaways[-1][1] == CALM if client.goaways else client.of(3).status == 8


def send_block(client: Raw, stream: int, headers: bytes) -> None:
    """In as many frames as it needs."""
    pieces = [headers[at : at + 16_000] for at in range(0, len(headers), 16_000)]
    for number, piece in enumerate(pieces):
        last = END_HEADERS if number == len(pieces) - 1 else 0
        client.send(frame(CONTINUATION if number else HEADERS, last, stream, piece))


async def test_unfinished_requests_have_a_room_for_the_whole_process() -> None:
    async with limited(unfinished_bytes=100_000) as (serving, client):
        client.begin(1, ECHO)
        client.data(1, message(bytes(200_000))[:60_000])
        await reached(lambda: serving.server.unfinished_bytes > 0)
        async with await Raw.to(serving.port) as other:
            other.begin(1, ECHO)
            other.data(1, message(bytes(200_000))[:60_000])
            answer = await other.answer(1)
            assert answer.status == 14
            assert "unfinished requests" in answer.last["grpc-message"]
            other.call(3, ECHO, b"small calls are still served")
            assert (await other.answer(3)).status == 0
        client.reset(1)
        await reached(lambda: serving.server.unfinished_bytes == 0)


@pytest.mark.parametrize("end", ["served", "reset", "lost", "refused"])
async def test_the_room_is_given_back_however_a_request_ends(end: str) -> None:
    async with limited() as (serving, client):
        client.begin(1, ECHO)
        client.data(1, message(bytes(90_000))[:60_000])
        await reached(lambda: serving.server.unfinished_bytes == 60_000)
        if end == "served":
            client.data(1, message(bytes(90_000))[60_000:], end=True)
        elif end == "reset":
            client.reset(1)
        elif end == "lost":
            client.abort()
        else:
            client.data(1, b"", end=True)
        await reached(lambda: serving.server.unfinished_bytes == 0)


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE], ids=["nothing", "half a preface", "a preface alone"])
async def test_a_client_that_does_not_begin_to_speak_is_cut(sent: bytes) -> None:
    async with limited(sent, preface_s=SOON) as (serving, client):
        await client.until_closed()
        await reached(lambda: not serving.server.connections)


async def test_a_body_that_stalls_is_cut_and_one_that_goes_on_is_not() -> None:
    async with limited(body_stall_s=0.4) as (_, client):
        client.begin(1, ECHO)
        client.begin(3, ECHO)
        client.data(1, message(b"hi")[:3])
        whole = message(b"x" * 20)
        for at in range(len(whole)):
            client.data(3, whole[at : at + 1])
            await asyncio.wait_for(client.drain(), 5)
            await asyncio.sleep(0.04)  # the pace of a slow sender: 25 times, longer in all than the limit
        client.data(3, b"", end=True)
        stalled = await client.answer(1)
        assert (stalled.status, "Nothing of the request arrived" in stalled.last["grpc-message"]) == (1, True)
        assert (await client.answer(3)).status == 0


async def test_headers_without_a_body_stall_too() -> None:
    async with limited(body_stall_s=SOON) as (_, client):
        client.begin(1, ECHO)
        assert (await client.answer(1)).status == 1


async def test_a_window_that_never_opens_ends_its_call() -> None:
    hello = PREFACE + frame(SETTINGS, 0, 0, setting(4, 0))
    async with limited(hello, write_stall_s=SOON) as (serving, client):
        client.call(1, STREAM, b"10 1000")
        assert (await client.answer(1)).reset is not None
        await reached(lambda: serving.servicer.live == 0)
        assert serving.servicer.cancelled == 1


async def test_a_client_that_reads_nothing_ends_its_calls_not_the_server_s_memory() -> None:
    """It opens every window and takes nothing from its socket."""
    async with limited(write_stall_s=0.3) as (serving, client):
        client.call(1, STREAM, b"2000 100000")
        await reached(lambda: any(each.paused for each in serving.server.connections))
        await reached(lambda: serving.servicer.cancelled == 1)


async def test_a_connection_without_calls_is_asked_to_go() -> None:
    async with limited(idle_s=SOON, age_s=None, linger_s=SOON) as (serving, client):
        client.call(1, ECHO)
        await client.answer(1)
        assert await client.until_closed() == 0
        await reached(lambda: not serving.server.connections)


async def test_a_connection_that_is_old_is_asked_to_go_and_its_calls_finish() -> None:
    async with limited(age_s=SOON) as (serving, client):
        client.call(1, WAIT)
        await client.until(lambda: bool(client.goaways))
        assert client.goaways[0] == ((1 << 31) - 1, 0), "the first promises to serve what is on its way"
        client.call(3, ECHO, b"on its way")
        await client.until(lambda: len(client.goaways) == 2)
        assert not client.of(1).done
        await reached(lambda: serving.servicer.live == 1)
        serving.servicer.let_all_go()
        assert (await client.answer(1)).status == 0
        assert await client.until_closed() == 0


async def test_a_client_that_does_not_answer_the_last_ping_is_let_go_all_the_same() -> None:
    async with limited(age_s=SOON, goaway_s=0.1, linger_s=0.1) as (serving, client):
        client.acknowledges = False
        await client.until_closed()
        await reached(lambda: not serving.server.connections)


async def test_pings_whose_answers_are_not_read_stop_the_reading() -> None:
    """A million of them took 16 MB; now the kernel's buffers are full, and the client has to wait."""
    async with limited(pings_per_s=1 << 30, frames_per_s=1 << 30, unread_answers_bytes=50_000) as (serving, client):
        (connection,) = serving.server.connections
        client.stops_reading()
        pings = frame(PING, 0, 0, bytes(8)) * 10_000

        async def flood() -> None:
            for _ in range(2000):
                client.send(pings)
                await client.drain()

        flooding = asyncio.create_task(flood())
        await reached(lambda: connection.paused and not connection.reading)
        flooding.cancel()
        client.reads_again()
        await client.discard_until(lambda: not connection.paused and connection.reading)


async def test_handlers_that_never_wait_give_the_loop_its_turn() -> None:
    async with limited() as (_, client):
        for stream in range(1, 41, 2):
            client.call(stream, STREAM, b"4000 1000")
        client.call(41, ECHO, b"hi")
        await client.until(lambda: client.of(41).done)
        assert not all(client.of(stream).done for stream in range(1, 41, 2)), "they would have been first"


async def test_data_for_a_call_that_was_answered_early_does_not_end_the_connection() -> None:
    """Counted over a connection's life, 1,024 frames end it by default: a hundred uploads past their deadline are enough."""
    async with limited() as (_, client):
        for stream in range(1, 101, 2):
            client.begin(stream, ECHO, ("grpc-timeout", "1n"))
        for stream in range(1, 101, 2):
            await client.answer(stream)
            for _ in range(60):
                client.send(frame(DATA, 0, stream, b"x" * 100))
        client.call(1001, ECHO, b"hi")
        assert (await client.answer(1001)).status == 0


async def test_a_request_that_is_a_stream_stalls_too_and_its_handler_goes() -> None:
    async with limited(body_stall_s=SOON) as (_, client):
        before = asyncio.all_tasks()
        client.begin(1, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        client.data(1, message(b"")[:3])
        assert (await client.answer(1)).status == 1
        await reached(lambda: asyncio.all_tasks() <= before)


async def test_words_that_open_no_window_do_not_start_its_clock_again() -> None:
    hello = PREFACE + frame(SETTINGS, 0, 0, setting(4, 0))
    async with limited(hello, write_stall_s=0.3) as (_, client):
        client.call(1, STREAM, b"10 1000")

        async def chatter() -> None:
            while True:
                client.send(frame(SETTINGS, 0, 0, setting(4, 0)))
                await asyncio.sleep(0.05)  # less than the limit, and few a second

        chatting = asyncio.create_task(chatter())
        try:
            assert (await asyncio.wait_for(client.answer(1), 5)).reset is not None
        finally:
            chatting.cancel()

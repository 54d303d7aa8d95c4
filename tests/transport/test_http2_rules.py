"""HTTP/2, rule by rule (RFC 9113), by raw frames: what a server answers to a client that keeps them, bends them, breaks them."""

from __future__ import annotations

import struct

import pytest

from tests.transport.raw import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    HELLO,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Raw,
    block,
    frame,
    literal,
    message,
    setting,
)
from tests.transport.service import Serving

ECHO = "/test.Bytes/echo"
NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE, COMPRESSION = 0, 1, 2, 3, 5, 6, 9
PRIORITIZED = 0x20
WHOLE = END_HEADERS | END_STREAM
HEAD = frame(HEADERS, END_HEADERS, 1, block(ECHO))
BODY = frame(DATA, END_STREAM, 1, message(b"hi"))


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def with_header(*pairs: tuple[str, str]) -> bytes:
    return frame(HEADERS, WHOLE, 1, block(ECHO, *pairs))


def head_of(*pairs: tuple[str, str]) -> bytes:
    return frame(HEADERS, WHOLE, 1, literal(pairs))


# Section and what is wrong -> what is sent, and the codes with which the connection may end. The codec says PROTOCOL_ERROR where
# the RFC has a code of its own for a size or for HPACK, and ends the connection for headers that are no headers, where the RFC
# asks for the stream alone: whoever sends such is no client of anything, and both fronts refuse it before it comes here.
ENDS: dict[str, tuple[bytes, set[int | None]]] = {
    "3.4 a preface of HTTP/1": (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", {None, PROTOCOL}),
    "3.4 a preface with another end": (PREFACE[:-1] + b"x" + frame(SETTINGS, 0, 0), {None, PROTOCOL}),
    "3.4 no settings first": (PREFACE + frame(PING, 0, 0, bytes(8)) + HEAD, {PROTOCOL}),
    "4.2 a frame of more than 16 KiB": (HELLO + HEAD + frame(DATA, 0, 1, bytes(16_385)), {FRAME_SIZE, PROTOCOL}),
    "4.3 a block that HPACK cannot read": (
        HELLO + frame(HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff"),
        {COMPRESSION, PROTOCOL},
    ),
    "4.3 an index that the table has not": (HELLO + frame(HEADERS, WHOLE, 1, b"\xbf"), {COMPRESSION, PROTOCOL}),
    "4.3 a frame within a block": (HELLO + frame(HEADERS, 0, 1, block(ECHO)) + frame(PING, 0, 0, bytes(8)), {PROTOCOL}),
    "5.1 data on an idle stream": (HELLO + frame(DATA, 0, 1, b"x"), {PROTOCOL}),
    "5.1 a reset of an idle stream": (HELLO + frame(RST_STREAM, 0, 1, number(8)), {PROTOCOL}),
    "5.1 a window for an idle stream": (HELLO + frame(WINDOW_UPDATE, 0, 1, number(8)), {PROTOCOL}),
    "5.1.1 an even stream": (HELLO + frame(HEADERS, WHOLE, 2, block(ECHO)), {PROTOCOL}),
    "5.1.1 a stream below the last": (
        HELLO + frame(HEADERS, END_HEADERS, 5, block(ECHO)) + frame(HEADERS, END_HEADERS, 3, block(ECHO)),
        {PROTOCOL, STREAM_CLOSED},
    ),
    "6.1 data on stream 0": (HELLO + frame(DATA, 0, 0, b"x"), {PROTOCOL}),
    "6.1 more padding than data": (HELLO + HEAD + frame(DATA, PADDED, 1, b"\x05hi"), {PROTOCOL}),
    "6.2 headers on stream 0": (HELLO + frame(HEADERS, WHOLE, 0, block(ECHO)), {PROTOCOL}),
    "6.2 more padding than headers": (HELLO + frame(HEADERS, WHOLE | PADDED, 1, b"\xff" + block(ECHO)), {PROTOCOL}),
    "6.3 a priority for stream 0": (HELLO + frame(PRIORITY, 0, 0, bytes(5)), {PROTOCOL}),
    "6.4 a reset of stream 0": (HELLO + frame(RST_STREAM, 0, 0, number(8)), {PROTOCOL}),
    "6.4 a reset of three bytes": (HELLO + HEAD + frame(RST_STREAM, 0, 1, bytes(3)), {FRAME_SIZE, PROTOCOL}),
    "6.5 settings on a stream": (HELLO + frame(SETTINGS, 0, 1), {PROTOCOL}),
    "6.5 an acknowledgement with settings": (HELLO + frame(SETTINGS, ACK, 0, setting(4, 5)), {FRAME_SIZE, PROTOCOL}),
    "6.5 half a setting": (HELLO + frame(SETTINGS, 0, 0, bytes(5)), {FRAME_SIZE, PROTOCOL}),
    "6.5.2 a push that is neither on nor off": (HELLO + frame(SETTINGS, 0, 0, setting(2, 2)), {PROTOCOL}),
    "6.5.2 a window that is too large": (HELLO + frame(SETTINGS, 0, 0, setting(4, 1 << 31)), {FLOW_CONTROL, PROTOCOL}),
    "6.5.2 frames that are too small": (HELLO + frame(SETTINGS, 0, 0, setting(5, 16_383)), {PROTOCOL}),
    "6.5.2 frames that are too large": (HELLO + frame(SETTINGS, 0, 0, setting(5, 1 << 24)), {PROTOCOL}),
    "6.6 a push by a client": (HELLO + HEAD + frame(PUSH_PROMISE, END_HEADERS, 1, number(2)), {PROTOCOL}),
    "6.7 a ping on a stream": (HELLO + frame(PING, 0, 1, bytes(8)), {PROTOCOL}),
    "6.7 a ping of seven bytes": (HELLO + frame(PING, 0, 0, bytes(7)), {FRAME_SIZE, PROTOCOL}),
    "6.8 a farewell on a stream": (HELLO + frame(GOAWAY, 0, 1, bytes(8)), {PROTOCOL, NO_ERROR}),
    "6.9 a window of nothing": (HELLO + frame(WINDOW_UPDATE, 0, 0, number(0)), {PROTOCOL}),
    "6.9 a stream's window of nothing": (HELLO + HEAD + frame(WINDOW_UPDATE, 0, 1, number(0)), {PROTOCOL}),
    "6.9 a window of three bytes": (HELLO + frame(WINDOW_UPDATE, 0, 0, bytes(3)), {FRAME_SIZE, PROTOCOL}),
    "6.9.1 a window that overflows": (HELLO + frame(WINDOW_UPDATE, 0, 0, number((1 << 31) - 1)), {FLOW_CONTROL}),
    "6.10 a continuation of nothing": (HELLO + frame(CONTINUATION, END_HEADERS, 1, block(ECHO)), {PROTOCOL}),
    "6.10 a continuation of another stream": (
        HELLO + frame(HEADERS, 0, 1, block(ECHO)) + frame(CONTINUATION, END_HEADERS, 3, b""),
        {PROTOCOL},
    ),
    "8.2.1 a name in upper case": (HELLO + with_header(("X-Upper", "1")), {PROTOCOL}),
    "8.2.1 a name with a space": (HELLO + with_header(("x y", "1")), {PROTOCOL}),
    "8.2.1 a value of two lines": (HELLO + with_header(("x-a", "1\r\nx-b: 2")), {PROTOCOL}),
    "8.2.1 a value with a null": (HELLO + with_header(("x-a", "1\0")), {PROTOCOL}),
    "8.3 a pseudo-header that is unknown": (HELLO + with_header((":odd", "1")), {PROTOCOL}),
}


@pytest.mark.parametrize("broken", ENDS)
async def test_a_breach_of_the_connection_s_rules_ends_it_with_the_rule_s_code(native: Serving, broken: str) -> None:
    sent, codes = ENDS[broken]
    async with await Raw.to(native.port, sent) as client:
        assert await client.until_closed() in codes
    async with await Raw.to(native.port) as other:
        other.call(1, ECHO, b"hi")
        assert (await other.answer(1)).status == 0


TOO_MUCH = message(bytes(1 << 21))
# What ends one stream: what is sent, and with which codes it may be reset.
RESETS: dict[str, tuple[bytes, set[int | None]]] = {
    "5.3.1 a stream that waits for itself": (frame(HEADERS, WHOLE | PRIORITIZED, 1, number(1) + b"\0" + block(ECHO)), {PROTOCOL}),
    "6.9.1 a stream's window that overflows": (HEAD + frame(WINDOW_UPDATE, 0, 1, number((1 << 31) - 1)), {FLOW_CONTROL}),
    "8.1.1 less than its content-length": (
        frame(HEADERS, END_HEADERS, 1, block(ECHO, ("content-length", "8"))) + BODY,
        {PROTOCOL},
    ),
    "8.1.1 more than its content-length": (
        frame(HEADERS, END_HEADERS, 1, block(ECHO, ("content-length", "6"))) + BODY,
        {PROTOCOL},
    ),
    "8.1.1 a content-length that is no number": (with_header(("content-length", "six")), {PROTOCOL}),
    "8.1 trailers that do not end it": (HEAD + frame(HEADERS, END_HEADERS, 1, b""), {PROTOCOL}),
    "8.2.2 connection": (with_header(("connection", "close")), {PROTOCOL}),
    "8.2.2 transfer-encoding": (with_header(("transfer-encoding", "chunked")), {PROTOCOL}),
    "8.2.2 upgrade": (with_header(("upgrade", "h2c")), {PROTOCOL}),
    "8.2.2 keep-alive": (with_header(("keep-alive", "5")), {PROTOCOL}),
    "8.2.2 another te": (with_header(("te", "gzip")), {PROTOCOL}),
    "8.3 a pseudo-header of answers": (
        head_of((":method", "POST"), (":scheme", "http"), (":path", ECHO), (":status", "200")),
        {PROTOCOL},
    ),
    "8.3 a pseudo-header after others": (with_header((":path", "/")), {PROTOCOL}),
    "8.3 two paths": (head_of((":method", "POST"), (":path", ECHO), (":path", ECHO), (":scheme", "http")), {PROTOCOL}),
    "8.3.1 no method": (frame(HEADERS, WHOLE, 1, block(ECHO, without=[":method"])), {PROTOCOL}),
    "8.3.1 no scheme": (frame(HEADERS, WHOLE, 1, block(ECHO, without=[":scheme"])), {PROTOCOL}),
    "8.3.1 no path": (frame(HEADERS, WHOLE, 1, block(ECHO, without=[":path"])), {PROTOCOL}),
    "8.3.1 an empty path": (frame(HEADERS, WHOLE, 1, block("")), {PROTOCOL}),
}  # fmt: skip


@pytest.mark.parametrize("broken", RESETS)
async def test_a_breach_of_a_stream_s_rules_resets_it_and_no_other(raw: Raw, broken: str) -> None:
    sent, codes = RESETS[broken]
    raw.send(sent)
    assert (await raw.answer(1)).reset in codes
    raw.call(3, ECHO, b"hi")
    assert (await raw.answer(3)).status == 0


CLOSED = {
    "data": frame(DATA, END_STREAM, 1, b"x"),
    "headers": frame(HEADERS, WHOLE, 1, block(ECHO)),
}


@pytest.mark.parametrize("kind", CLOSED)
async def test_a_stream_that_has_ended_takes_nothing_more(raw: Raw, kind: str) -> None:
    """5.1: an error of the stream or of the connection, both with STREAM_CLOSED; after it the server serves others."""
    raw.call(1, "/test.Bytes/wait")
    raw.send(CLOSED[kind])
    await raw.until(lambda: raw.of(1).reset is not None or bool(raw.goaways))
    assert raw.of(1).reset in (None, STREAM_CLOSED, PROTOCOL)
    assert [code for _, code in raw.goaways] in ([], [STREAM_CLOSED], [PROTOCOL])


# What bends no rule and is served.
SERVED = {
    "4.1 a kind of frame that nobody knows": frame(0xBE, 0xFF, 0, b"abc") + frame(0xEF, 0, 77) + HEAD + BODY,
    "4.1 flags and a bit that nobody knows": frame(HEADERS, END_HEADERS | 0xC2, 1 | 1 << 31, block(ECHO)) + BODY,
    "4.3 a block in three pieces": frame(HEADERS, 0, 1, block(ECHO)[:7])
    + frame(CONTINUATION, 0, 1, block(ECHO)[7:50])
    + frame(CONTINUATION, END_HEADERS, 1, block(ECHO)[50:])
    + BODY,
    "5.1.1 streams that are skipped": HEAD + BODY + frame(HEADERS, WHOLE, 999, block(ECHO)),
    "5.3 priorities": frame(PRIORITY, 0, 3, number(1) + b"\xff")
    + frame(HEADERS, END_HEADERS | PRIORITIZED, 1, number(0) + b"\0" + block(ECHO))
    + BODY,
    "6.1 padding": frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05" + block(ECHO) + bytes(5))
    + frame(DATA, PADDED | END_STREAM, 1, b"\xc8" + message(b"hi") + bytes(200)),
    "6.1 frames of nothing": HEAD + 20 * frame(DATA, 0, 1) + BODY,
    "6.5 settings that nobody knows": frame(SETTINGS, 0, 0, setting(0xF0F0, 1) + setting(6, 100) + setting(1, 0))
    + HEAD
    + BODY,
    "6.5.3 settings again and again": 10 * frame(SETTINGS, 0, 0, setting(3, 7)) + HEAD + BODY,
    "6.9 windows": frame(WINDOW_UPDATE, 0, 0, number(1)) + HEAD + frame(WINDOW_UPDATE, 0, 1, number(1)) + BODY,
    "8.1.1 a content-length that is right": frame(HEADERS, END_HEADERS, 1, block(ECHO, ("content-length", "7"))) + BODY,
    "8.2.3 cookies": frame(HEADERS, END_HEADERS, 1, block(ECHO, ("cookie", "a=b"), ("cookie", "c=d"))) + BODY,
}


@pytest.mark.parametrize("odd", SERVED)
async def test_what_no_rule_forbids_is_served(raw: Raw, odd: str) -> None:
    raw.send(SERVED[odd])
    answer = await raw.answer(1)
    assert (answer.status, answer.data) == (0, message(b"hi"))


async def test_frames_may_be_cut_anywhere(native: Serving) -> None:
    whole = HELLO + HEAD + BODY
    async with await Raw.to(native.port, b"") as client:
        for at in range(len(whole)):
            client.send(whole[at : at + 1])
            await client.drain()
        assert (await client.answer(1)).data == message(b"hi")


async def test_settings_and_pings_are_acknowledged(raw: Raw) -> None:
    raw.send(frame(PING, 0, 0, b"12345678"))
    await raw.until(lambda: PING in raw.kinds)
    assert raw.kinds.count(SETTINGS) == 2, "the server's own, and that it has ours"


async def test_the_server_says_what_it_takes(raw: Raw) -> None:
    raw.call(1, ECHO)
    await raw.answer(1)
    assert raw.settings[3] == 1000  # streams
    assert raw.settings[4] == 1 << 20  # window of a stream
    assert raw.settings.get(5, 16_384) == 16_384  # frames


async def test_an_answer_waits_for_the_client_s_window(native: Serving) -> None:
    hello = PREFACE + frame(SETTINGS, 0, 0, setting(4, 10))
    async with await Raw.to(native.port, hello) as client:
        client.call(1, ECHO, b"x" * 25)
        await client.until(lambda: len(client.of(1).data) == 10)
        client.send(frame(SETTINGS, 0, 0, setting(4, 0)))  # 6.9.2: the window is then 10 below nothing
        client.window(1, 15)
        client.call(3, ECHO)
        await client.until(lambda: len(client.of(1).data) == 15)
        client.window(1, 100)
        assert (await client.answer(1)).data == message(b"x" * 25)


async def test_frames_of_an_answer_keep_to_the_client_s_size(native: Serving) -> None:
    hello = HELLO + frame(SETTINGS, 0, 0, setting(5, 1 << 20))
    for preface in (HELLO, hello):
        async with await Raw.to(native.port, preface) as client:
            client.call(1, ECHO, b"x" * 300_000)
            assert (await client.answer(1)).data == message(b"x" * 300_000)


async def test_data_beyond_the_server_s_window_is_refused(native: Serving) -> None:
    """6.9.1: a client that does not wait. The request never ends, so nothing of it is given back."""
    async with await Raw.to(native.port) as client:
        client.begin(1, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        client.data(1, message(bytes(1 << 22))[: (1 << 20) + (1 << 20)])
        await client.until(lambda: client.of(1).done or bool(client.goaways))
        assert client.of(1).reset == FLOW_CONTROL or client.goaways[-1][1] == FLOW_CONTROL


async def test_more_streams_than_it_takes_are_refused_so_that_they_may_be_sent_again(native: Serving) -> None:
    """5.1.2 and 8.7: REFUSED_STREAM says that nothing was done."""
    async with await Raw.to(native.port) as client:
        for stream in range(1, 2003, 2):
            client.begin(stream, "/test.Bytes/wait")
        assert (await client.answer(2001)).reset == 7
        assert not client.of(1).done

"""Calls over real sockets: what is an answer, what is not, and what is never another call's."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import zlib

import pytest

from adapters import GatewayError, Kind
from sidecar.upstream.failures import BadHead, BodyBroken, Failure
from tests.processes import reached
from tests.upstream.raw import OK, Request, a_client, asked, opened, raw_server, says, whole

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BIG_BYTES = 20 << 20

TAKEN = {
    "length": (OK, b"ok", True),
    "chunks": (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"ok", True),
    "trailers": (CHUNKED + b"2\r\nok\r\n0\r\nx-t: 1\r\n\r\n", b"ok", True),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK, b"ok", True),
    "close": (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
    "a second answer nobody asked for": (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond", b"ok", False),
    "a keep-alive that is over": (OK.replace(b"\r\n\r\n", b"\r\nkeep-alive: timeout=1\r\n\r\n"), b"ok", False),
    "gzip": (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(gzip.compress(b"ok"))
             + gzip.compress(b"ok"), b"ok", True),
}  # fmt: skip


@pytest.mark.parametrize(("wire", "body", "stays"), TAKEN.values(), ids=TAKEN)
async def test_an_answer_is_read_and_its_connection_used_again_only_if_it_is_clean(
    wire: bytes, body: bytes, stays: bool
) -> None:
    async with raw_server(wire) as server, a_client() as client:
        for _ in range(3):
            assert await asked(client, server.port) == (200, body)
        assert server.connections == (1 if stays else 3)


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_body_without_a_length_is_whole_only_if_the_connection_ends_in_order(end: str) -> None:
    answer = says(b"HTTP/1.1 200 OK\r\n\r\n", b"all of it", then_close=end == "close", then_reset=end == "reset")
    async with raw_server(answer) as server, a_client() as client:
        response = await opened(client, server.port)
        if end == "close":
            assert await whole(response) == b"all of it"
        else:
            with pytest.raises(GatewayError) as caught:
                await whole(response)
            assert caught.value.kind is Kind.UPSTREAM_INTERRUPTED


NO_HTTP = "The provider's answer is not HTTP."
TOO_LARGE = "The head of the provider's answer is too large."
REFUSED = {
    "length and chunked": (CHUNKED.replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\n") + b"2\r\nok\r\n0\r\n\r\n", NO_HTTP),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", NO_HTTP),
    "bare line feeds": (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", NO_HTTP),
    "a folded line": (b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 2\r\n\r\nok", NO_HTTP),
    "junk": (b"SSH-2.0-x\r\n", NO_HTTP),
    "switched protocols": (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", NO_HTTP),
    "a head without end": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, TOO_LARGE),
    "a long header": (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 17_000 + b"\r\ncontent-length: 2\r\n\r\nok", TOO_LARGE),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1_000 + b"content-length: 2\r\n\r\nok", TOO_LARGE),
    "many interim answers": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100 + OK,
                             "The provider sent too many informational responses."),
}  # fmt: skip


@pytest.mark.parametrize(("wire", "text"), REFUSED.values(), ids=REFUSED)
async def test_an_answer_that_is_none_is_refused_at_once_and_its_connection_closed(wire: bytes, text: str) -> None:
    """The server waits for the client to go: nothing here ends by a timeout."""
    async with raw_server(wire) as server, a_client() as client:
        async with asyncio.timeout(5):
            with pytest.raises(GatewayError) as caught:
                await opened(client, server.port)
        assert (caught.value.kind, caught.value.message) == (Kind.UPSTREAM_PROTOCOL, text)
        assert isinstance(caught.value.__cause__, Failure), "the log can say why"
        await reached(lambda: server.open == 0)
        assert len(server.requests) == 1, "not sent twice"


@pytest.mark.parametrize("rest", [b"zz\r\n", b"2\nok", b"2\r\nokay\r\n", b"0\r\nx : y\r\n\r\n"])
async def test_what_came_before_broken_framing_is_read_before_the_failure(rest: bytes) -> None:
    async with raw_server(CHUNKED + b"4\r\ngood\r\n" + rest) as server, a_client() as client:
        response = await opened(client, server.port)
        assert (await response.read_some()).startswith(b"good")
        with pytest.raises(GatewayError) as caught:
            await whole(response)
        assert (caught.value.kind, caught.value.message) == (
            Kind.UPSTREAM_INTERRUPTED,
            "The provider's answer broke off.",
        )
        assert isinstance(caught.value.__cause__, BodyBroken)
        await reached(lambda: server.open == 0)


async def test_what_arrived_in_one_read_leaves_in_one_piece() -> None:
    chunks = b"".join(b"%x\r\ndata: %d\n\n\r\n" % (len(f"data: {i}\n\n"), i) for i in range(20))
    async with raw_server(says(CHUNKED, chunks, b"0\r\n\r\n")) as server, a_client() as client:
        response = await opened(client, server.port)
        assert (await response.read_some()).count(b"data:") == 20
        assert await response.read_some() == b""
        assert response.ended
        response.close()


async def test_bytes_on_an_idle_connection_close_it_and_are_nobodys_answer() -> None:
    async with raw_server(OK) as server, a_client() as client:
        assert await asked(client, server.port) == (200, b"ok")
        server.writers[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond")
        await reached(lambda: server.open == 0)
        assert await asked(client, server.port) == (200, b"ok")
        assert server.connections == 2


async def test_a_redirect_is_handed_over_and_not_followed_and_cookies_are_not_kept() -> None:
    wire = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    async with raw_server(wire) as server, a_client() as client:
        for _ in range(2):
            assert (await asked(client, server.port))[0] == 302
        assert [request.head.split()[1] for request in server.requests] == [b"/v1/chat/completions"] * 2
        assert "cookie" not in server.requests[1].headers


async def test_the_request_says_what_it_must_and_nothing_else() -> None:
    async with raw_server(OK) as server, a_client() as client:
        await asked(client, server.port, path="/v1/x y/ü?api-version=1", body=b"{}")
        head = server.requests[0].head
        assert head.startswith(b"POST /v1/x%20y/%C3%BC?api-version=1 HTTP/1.1\r\n")
        assert server.requests[0].headers == {
            "host": f"127.0.0.1:{server.port}",
            "content-type": "application/json",
            "authorization": "Bearer sk-canary-0123456789",
            "accept-encoding": "identity",
            "user-agent": "llm-gateway-sidecar",
            "content-length": "2",
        }
        own = (("User-Agent", "mine"), ("Accept-Encoding", "gzip"), ("Host", "other"), ("Content-Length", "9"))
        await asked(client, server.port, headers=own)
        seen = server.requests[1].headers
        assert (seen["user-agent"], seen["accept-encoding"]) == ("mine", "gzip")
        assert (seen["host"], seen["content-length"]) == (f"127.0.0.1:{server.port}", "2")


@pytest.mark.parametrize("value", ["a\r\nx-injected: 1", "a\nb", "a\rb", "a\0b", "☃"])
async def test_a_header_that_would_break_the_request_is_not_sent(value: str) -> None:
    async with raw_server(OK) as server, a_client() as client:
        with pytest.raises(GatewayError) as caught:
            await asked(client, server.port, headers=(("x", value),))
        assert caught.value.kind is Kind.INTERNAL
        assert value not in caught.value.message
        assert server.connections == 0


async def test_twenty_megabytes_go_both_ways_and_the_connection_stays() -> None:
    async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(request.body))
        writer.write(request.body)
        await writer.drain()

    body = bytes(range(256)) * (BIG_BYTES // 256)
    async with raw_server(echo) as server, a_client() as client:
        for _ in range(2):
            assert await asked(client, server.port, body=body) == (200, body)
        assert server.connections == 1


async def test_a_refusal_before_the_body_is_read_is_heard_and_the_rest_is_not_sent() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno"
    async with raw_server(refusal, reads_body=False) as server, a_client() as client:
        async with asyncio.timeout(10):
            assert await asked(client, server.port, body=bytes(30 << 20)) == (413, b"no")
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
            assert await asked(client, server.port, body=bytes(size)) == (200, b"ok")


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
        assert await asked(client, server.port, body=bytes(60 << 20)) == (413, b"no")
        assert await asked(client, server.port) == (200, b"ok")
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
            "The provider's answer is compressed in a way that the gateway does not read.",
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


async def test_nothing_of_headers_or_bodies_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wires = [
        b"HTTP/1.1 200 OK\r\nx: sk-canary-answer\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: sk-canary-answer\r\ncontent-length: 9\r\n\r\n",
    ]
    async with a_client() as client:
        for wire in wires:
            async with raw_server(wire, then_close=True) as server:
                with pytest.raises(GatewayError) as caught:
                    await asked(client, server.port)
                causes = repr(
                    [caught.value, caught.value.__cause__, getattr(caught.value.__cause__, "__cause__", None)]
                )
                assert not re.search("canary", causes + caplog.text)


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-le"])
async def test_a_connection_that_ends_before_the_head_is_an_answer_that_never_came(after: bytes, end: str) -> None:
    answer = says(after, b"", then_close=end == "close", then_reset=end == "reset")
    async with raw_server(answer) as server, a_client() as client:
        with pytest.raises(GatewayError) as caught:
            await opened(client, server.port)
        assert caught.value.kind is Kind.UPSTREAM_UNAVAILABLE
        assert caught.value.message == "The provider closed the connection without an answer."
        assert len(server.requests) == 1


async def test_the_cause_is_kept_for_the_log() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nx : a\r\n\r\n") as server, a_client() as client:
        with pytest.raises(GatewayError) as caught:
            await opened(client, server.port)
        assert isinstance(caught.value.__cause__, BadHead)
        assert caught.value.__cause__.reason


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
        assert await asked(client, server.port) == (200, b"onetwo")
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

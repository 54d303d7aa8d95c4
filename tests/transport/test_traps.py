"""What we rely on in the codec's library, and what it does in silence: each of these was met, and an update may change it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import httpunk
import pytest
from httpunk._httpunk import H2FrameSettings, H2Streams, HeaderMap

from tests.processes import reached
from tests.transport.raw import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    HELLO,
    RST_STREAM,
    SETTINGS,
    Raw,
    block,
    frame,
    literal,
)
from tests.transport.service import Serving


def test_the_library_is_pinned_to_the_version_these_tests_were_written_for() -> None:
    pinned = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    assert f'"httpunk=={version("httpunk")}"' in pinned


def test_its_state_machine_is_published_in_its_stubs() -> None:
    stubs = Path(httpunk.__file__).parent.joinpath("_httpunk.pyi").read_text()
    for name in ("class H2Streams", "def begin_graceful_shutdown", "def credit_written", "def next_capacity_wake"):
        assert name in stubs


async def test_a_reset_cancels_its_handler_before_the_bytes_are_done_with(native: Serving) -> None:
    """Not by an event that a task of its own waits for: in the same turn of the loop."""
    async with await Raw.to(native.port) as client:
        client.call(1, "/test.Bytes/wait")
        await reached(lambda: native.servicer.live == 1)
        (connection,) = native.server.connections
        (call,) = connection.calls
        connection.data_received(frame(RST_STREAM, 0, 1, b"\0\0\0\x08"))
        assert call._task.cancelling()
        assert not connection.calls
        await reached(lambda: native.servicer.cancelled == 1)


async def test_a_lost_connection_cancels_all_of_its_handlers(native: Serving) -> None:
    async with await Raw.to(native.port) as client:
        for stream in range(1, 401, 2):
            client.call(stream, "/test.Bytes/wait")
        await reached(lambda: native.servicer.live == 200)
        client.abort()
        await reached(lambda: native.servicer.cancelled == 200)
        await reached(lambda: not native.server.connections)


async def test_a_client_that_closes_its_half_has_left(native: Serving) -> None:
    async with await Raw.to(native.port) as client:
        client.call(1, "/test.Bytes/one_then_wait")
        await reached(lambda: native.servicer.live == 1)
        client.half_close()
        await reached(lambda: native.servicer.cancelled == 1)


async def test_a_call_that_is_reset_before_its_handler_ran_runs_no_handler(native: Serving) -> None:
    async with await Raw.to(native.port) as client:
        for stream in range(1, 2001, 2):
            client.send(frame(HEADERS, END_HEADERS, stream, block("/test.Bytes/wait")))
            client.reset(stream)
        client.call(2001, "/test.Bytes/echo", b"hi")
        assert (await client.answer(2001)).status == 0
        assert (native.servicer.live, native.servicer.cancelled) == (0, 0)


def test_headers_beyond_its_limit_are_dropped_without_a_word() -> None:
    """Why `metadata_bytes` lies far below what the codec is given, and the meter counts a block's length on the wire."""
    state = H2Streams(
        "server",
        initial_window_size=65_535,
        connection_window=65_535,
        max_frame_size=16_384,
        max_header_list_size=1_000,
        max_send_buf_size=65_535,
    )
    state.begin()
    pairs = [(":method", "POST"), (":path", "/"), (":scheme", "http"), ("x-large", "v" * 2_000), ("x-small", "v")]
    for settings in state.receive(
        HELLO + frame(SETTINGS, ACK, 0)
    ):  # its limit holds once the client has acknowledged it
        if isinstance(settings, H2FrameSettings):
            state.recv_settings(settings)
    frames = state.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, literal(pairs)))
    (head,) = [each for each in frames if hasattr(each, "headers")]
    assert head.headers.raw_items() == [], "the large one and whatever follows it"


def test_a_value_that_would_split_a_header_is_no_header() -> None:
    with pytest.raises(ValueError, match="header"):
        HeaderMap([("x-a", b"1\r\nx-b: 2")])

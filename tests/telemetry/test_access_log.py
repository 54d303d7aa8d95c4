"""The lines of the access log: complete, free of what must not be there, and never in a call's way."""

from __future__ import annotations

import asyncio
import json
import os
import threading

from hypothesis import given
from hypothesis import strategies as st

from sidecar.telemetry.access_log import FORMATS, AccessLog, CallEntry, human_line, json_line
from tests.processes import reached

CALL = CallEntry(
    at_s=1_700_000_000.5,
    request_id="r-12345678",
    consumer="team",
    route="chat",
    operation="stream_chat",
    outcome="ok",
    upstream="openai",
    attempts=2,
    input_tokens=12,
    output_tokens=34,
    first_output_s=0.25,
    total_s=1.5,
    overhead_s=0.0012,
)


def test_a_json_line_says_all_that_is_known_of_a_call() -> None:
    assert json.loads(json_line(CALL)) == {
        "time": "2023-11-14T22:13:20.500Z",
        "message": "call",
        "request_id": "r-12345678",
        "consumer": "team",
        "route": "chat",
        "operation": "stream_chat",
        "outcome": "ok",
        "upstream": "openai",
        "attempts": 2,
        "input_tokens": 12,
        "output_tokens": 34,
        "first_output_ms": 250.0,
        "total_ms": 1500.0,
        "overhead_ms": 1.2,
    }


def test_a_line_for_people_reads_as_a_sentence() -> None:
    assert human_line(CALL) == (
        b"2023-11-14T22:13:20.500Z ok stream_chat chat for team by openai in 2 attempts 1500 ms first 250 ms "
        b"12+34 tokens [r-12345678]\n"
    )


def test_what_is_not_known_is_not_said() -> None:
    refused = CallEntry(1.0, "r-12345678", "team", "nope", "chat", "route_not_found", total_s=0.001)
    assert set(json.loads(json_line(refused))) == {
        *("time", "message", "request_id", "consumer", "route", "operation", "outcome", "attempts", "total_ms")
    }
    assert b"tokens" not in human_line(refused)


@given(st.text(), st.text())
def test_no_text_of_a_caller_makes_a_second_line_or_a_terminal_obey(route: str, consumer: str) -> None:
    entry = CallEntry(1.0, "r-12345678", consumer, route, "chat", "ok")
    for name, line in FORMATS.items():
        if line is None:
            continue
        text = line(entry)
        assert text.count(b"\n") == 1, name
        assert text.endswith(b"\n")
        assert all(0x20 <= byte < 0x7F for byte in text[:-1]), name


async def test_a_pipe_that_nobody_reads_holds_up_no_call_and_what_was_dropped_is_counted() -> None:
    open_ = threading.Event()
    written: list[bytes] = []

    def stuck(data: bytes) -> None:
        open_.wait()
        written.append(data)

    log = AccessLog(json_line, stuck)
    log.add(CALL)
    await reached(lambda: not log._waiting, 10, "the first line is with the thread")
    for _ in range(10_003):
        log.add(CALL)  # returns: that is the test
    open_.set()
    await reached(lambda: len(written) == 2, 10, "all is written")
    lines = b"".join(written).splitlines()
    assert json.loads(lines[-1]) == {"message": "log lines dropped", "count": 3}
    assert len(lines) == 1 + 10_000 + 1


async def test_the_last_lines_are_written_on_the_way_out() -> None:
    read, write = os.pipe()
    log = AccessLog(FORMATS["human"], lambda data: os.write(write, data))
    log.add(CALL)
    await asyncio.sleep(0)
    await log.close()
    os.close(write)
    with open(read, "rb") as lines:
        assert lines.read() == human_line(CALL)


async def test_switched_off_it_says_nothing() -> None:
    written: list[bytes] = []
    log = AccessLog(FORMATS["off"], written.append)
    log.add(CALL)
    await log.close()
    assert written == []

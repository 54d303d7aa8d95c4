"""Clients that leave, cores that come and go, and large bodies."""

from __future__ import annotations

import asyncio
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from sidecar.front.nginx import render
from sidecar.front.programs import Program
from sidecar.identity.users import add_user
from tests.front.conftest import Front, hang_up, passes_on, start_core, start_front
from tests.front.double import PIECE_BYTES_MAX, Core, Script
from tests.processes import reached

CHAT = "/v1/chat/completions"
MIB = 1024 * 1024
CANCEL_S = 1.0


async def _ended(core: Core, since_s: float) -> float:
    """Seconds from `since_s` until the only call ended."""
    while core.call.ended_s is None:
        assert time.monotonic() - since_s < 5
        await asyncio.sleep(0.005)
    return core.call.ended_s - since_s


@pytest.mark.parametrize("version", [1, 2])
async def test_a_client_that_leaves_before_the_first_byte_cancels_the_call(
    front: Front, core: Core, version: int
) -> None:
    core.script = Script(wait_s=30)
    async with front.http(version) as http:
        asking = asyncio.ensure_future(http.post(CHAT, json={}, headers=front.basic))
        await asyncio.wait_for(core.arrived.wait(), 5)
        left_s = time.monotonic()
        asking.cancel()
        await http.aclose()  # httpx resets no HTTP/2 stream; test_grpc.py shows that a reset does the same
        assert await _ended(core, left_s) < CANCEL_S
    assert core.call.cancelled


@pytest.mark.parametrize("version", [1, 2])
async def test_a_client_that_leaves_in_mid_stream_cancels_the_call(front: Front, core: Core, version: int) -> None:
    core.script = Script(content_type="text/event-stream", pieces=[b"data: 1\n\n"], hold=True)
    async with front.http(version) as http:
        async with http.stream("POST", CHAT, json={}, headers=front.basic) as answer:
            assert await anext(answer.aiter_raw()) == b"data: 1\n\n"
            assert core.call.ended_s is None
            left_s = time.monotonic()
        await http.aclose()
        assert await _ended(core, left_s) < CANCEL_S
    assert core.call.cancelled


async def test_a_new_worker_behind_the_same_path_gets_the_next_calls_and_the_old_one_finishes_its_own(
    front: Front, core: Core
) -> None:
    core.script = Script(content_type="text/event-stream", pieces=[b"data: 1\n\n", b"data: 2\n\n"], gap_s=0.5)
    async with front.http() as http, http.stream("POST", CHAT, json={}, headers=front.basic) as answer:
        pieces = answer.aiter_raw()
        assert await anext(pieces) == b"data: 1\n\n"
        fresh = await start_core(front, wait=False)
        try:
            stopping = asyncio.ensure_future(core.stop(grace_s=10))
            await passes_on(front, fresh)  # Envoy keeps its connection until the old worker asks it to go
            for _ in range(20):
                assert (await http.get("/v1/models", headers=front.basic)).status_code == 200
            assert await anext(pieces) == b"data: 2\n\n"
            await stopping
        finally:
            await fresh.stop()
    assert len(fresh.calls) == 20


async def test_two_workers_share_the_calls_and_a_dead_one_is_passed_over(front: Front, core: Core) -> None:
    second = await start_core(front, front.settings.core_sockets[1])
    core.calls.clear()
    async with front.http() as http:
        for _ in range(20):
            assert (await http.get("/v1/models", headers=front.basic)).status_code == 200
        assert core.calls
        assert second.calls
        await second.stop()
        for _ in range(20):
            assert (await http.get("/v1/models", headers=front.basic)).status_code == 200
    assert len(core.calls) + len(second.calls) == 40


async def test_a_stop_lets_a_stream_finish(state: Path, program: Program) -> None:
    front = start_front(state, program)
    core = await start_core(front)
    core.script = Script(content_type="text/event-stream", pieces=[b"data: 1\n\n", b"data: 2\n\n"], gap_s=0.5)
    async with front.http() as http, http.stream("POST", CHAT, json={}, headers=front.basic) as answer:
        pieces = answer.aiter_raw()
        await anext(pieces)
        stopping = asyncio.ensure_future(asyncio.to_thread(front.stop))
        assert await anext(pieces) == b"data: 2\n\n"
    await stopping
    assert front.process.returncode == 0
    await core.stop()


def _resident(front: Front) -> int:
    """Bytes of all of the front's processes."""
    pid = front.process.pid
    processes = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    statuses = [Path(f"/proc/{each}/status").read_text() for each in (str(pid), *processes)]
    return sum(int(line.split()[1]) * 1024 for text in statuses for line in text.splitlines() if "VmRSS" in line)


# Asks in its own process until its input ends, because the test's own is busy with the body; then prints the slowest.
PROBE = """
import sys, threading, time, httpx
url, ca, authorization = sys.argv[1:]
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
slowest_s, count = 0.0, 0
with httpx.Client(verify=__import__("ssl").create_default_context(cafile=ca)) as http:
    while not ended.is_set():
        began_s = time.monotonic()
        assert http.get(url + "/nothing", headers={"authorization": authorization}).status_code == 404
        slowest_s = max(slowest_s, time.monotonic() - began_s) if count else 0.0
        count += 1
        if count == 1:
            print("ready", flush=True)
        ended.wait(0.002)
print(slowest_s, count)
"""


async def _cost(state: Path, program: Program, direction: str, body: bytes) -> tuple[int, float, float]:
    """Bytes that the front grew by, seconds of the slowest other request meanwhile, and how many there were."""
    front = start_front(state, program)
    core = await start_core(front)
    size = len(body)
    headers = {**front.basic, "content-type": "application/json"}
    argv = [sys.executable, "-c", PROBE, front.url, str(front.ca), front.basic["authorization"]]
    probe = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    peak, done = 0, asyncio.Event()
    try:
        async with front.http() as http:
            assert probe.stdout is not None
            assert await asyncio.to_thread(probe.stdout.readline) == "ready\n"
            before = _resident(front)

            async def watch() -> None:
                nonlocal peak
                while not done.is_set():
                    peak = max(peak, _resident(front))
                    await asyncio.sleep(0.002)

            watching = asyncio.ensure_future(watch())
            if direction == "answer":
                pieces = [body[at : at + PIECE_BYTES_MAX] for at in range(0, size, PIECE_BYTES_MAX)]
                core.script = Script(pieces=pieces)
                assert (await http.post(CHAT, content=b"{}", headers=headers)).content == body
            else:
                await http.post(CHAT, content=body, headers=headers)
                assert core.call.request.data == body
            done.set()
            await watching
        slowest_s, count = (float(word) for word in (await asyncio.to_thread(probe.communicate))[0].split())
    finally:
        probe.kill()
        probe.wait()
        await core.stop()
        front.stop()
    return peak - before, slowest_s, count


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["request", "answer"])
async def test_a_large_body_costs_little_memory_and_holds_nobody_up(
    state: Path, program: Program, direction: str
) -> None:
    """The quickest of three: a busy machine can hold anybody up, a front that blocks does so each time."""
    size = (20 if direction == "request" else 32) * MIB
    body = random.Random(1).randbytes(size)
    slowest_s, attempts = 1.0, 0
    while slowest_s >= 0.1 and attempts < 3:
        attempts += 1
        folder = state / str(attempts)
        folder.mkdir()
        grown, slowest_s, count = await _cost(folder, program, direction, body)
        print(f"\n{direction}: {grown / size:.2f} x the body, slowest of {count:.0f} others {slowest_s * 1000:.0f} ms")
        assert grown <= 3 * size + MIB  # the body, nginx's copy of it as $request_body, the gRPC request
        assert count > 10
    assert slowest_s < 0.1


def _owners_of_workers(front: Front) -> list[int]:
    pid = front.process.pid
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{worker}").stat().st_uid for worker in workers]


async def test_several_processes_run_as_the_state_directorys_owner(state: Path) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam("daemon")
        (state / "run").mkdir(mode=0o700)
        for folder in (state, state / "run"):
            os.chown(folder, account.pw_uid, account.pw_gid)
    front = start_front(state, worker_processes=2)
    core = await start_core(front)
    os.chown(core.path, state.stat().st_uid, state.stat().st_gid)  # as a worker of that account would own it
    try:
        # The master listens before it has workers, and a worker is root's until it has taken its account.
        await reached(lambda: _owners_of_workers(front) == [state.stat().st_uid] * 2, what="two workers of the owner")
        body = b"x" * 3_000_000
        for headers in (front.basic, front.bearer):
            async with front.http() as http:
                answer = await http.post(CHAT, content=body, headers={**headers, "content-type": "application/json"})
            assert answer.status_code == 200
        add_user(front.users_file, "bob")
        async with front.http() as http:
            assert (await http.get("/v1/models", headers=front.basic)).status_code == 200
    finally:
        await core.stop()
        front.stop()


async def test_a_folder_rendered_anew_is_read_at_sighup_without_losing_a_call(state: Path) -> None:
    front = start_front(state)
    core = await start_core(front)
    core.script = Script(content_type="text/event-stream", pieces=[b"data: 1\n\n", b"data: 2\n\n"], gap_s=0.5)
    try:
        async with front.http() as http, http.stream("POST", CHAT, json={}, headers=front.basic) as answer:
            pieces = answer.aiter_raw()
            await anext(pieces)
            render(replace(front.settings, body_bytes_max=1000), front.folder)
            front.process.send_signal(signal.SIGHUP)
            assert await anext(pieces) == b"data: 2\n\n"
        core.script = Script()
        deadline_s = time.monotonic() + 5
        status = 200
        while status == 200:
            assert time.monotonic() < deadline_s
            async with front.http() as http:
                status = (await http.post(CHAT, json={"a": "x" * 1000}, headers=front.basic)).status_code
        assert status == 413
    finally:
        await core.stop()
        front.stop()


async def test_a_reader_that_stalls_is_cut_and_its_call_cancelled(state: Path, program: Program) -> None:
    front = start_front(state, program, send_timeout_s=2)
    core = await start_core(front)
    core.script = Script(pieces=[b"x" * PIECE_BYTES_MAX] * 320, hold=True)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", front.port))
    small.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=small, ssl=front.tls(), server_hostname="localhost", limit=1024)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: {front.basic['authorization']}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}".encode())
    try:
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        deadline_s = time.monotonic() + 30
        while core.call.ended_s is None:
            assert time.monotonic() < deadline_s, front.logs
            await asyncio.sleep(0.05)
        assert core.call.cancelled
    finally:
        await hang_up(writer)
        await core.stop()
        front.stop()


async def test_a_hundred_streams_at_once_each_get_their_own_events(front: Front, core: Core) -> None:
    core.script = Script(content_type="text/event-stream", pieces=[b"data: %d\n\n" % i for i in range(5)], gap_s=0.2)
    limits = httpx.Limits(max_connections=100)
    async with front.http(limits=limits) as first, front.http(2) as second:
        requests = [http.post(CHAT, json={}, headers=front.bearer) for http in (first, second) for _ in range(50)]
        answers = await asyncio.gather(*requests)
    assert {answer.content for answer in answers} == {b"".join(core.script.pieces)}
    assert len(core.calls) == 100


async def test_a_client_that_is_slow_to_send_its_body_holds_nobody_up(front: Front, core: Core) -> None:
    async def drip() -> AsyncIterator[bytes]:
        yield b"{"
        await finish.wait()
        yield b"}"

    finish = asyncio.Event()
    headers = {**front.basic, "content-type": "application/json"}
    async with front.http() as slow, front.http() as quick:
        asking = asyncio.ensure_future(slow.post(CHAT, content=drip(), headers=headers))
        for _ in range(5):
            assert (await quick.get("/v1/models", headers=front.basic)).status_code == 200
        assert {call.rpc for call in core.calls} == {"ListModels"}  # a core sees only whole bodies
        finish.set()
        assert (await asking).status_code == 200
    assert core.calls[-1].request.data == b"{}"

"""What large bodies and readers that stand still cost either front."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from pathlib import Path

import pytest

from sidecar.front.programs import Program
from tests.conformance.cases import CHAT
from tests.front.conftest import Front, start_core, start_front
from tests.front.double import PIECE_BYTES_MAX, Script
from tests.processes import reached
from tests.scale import scaled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
MIB = 1024 * 1024
REQUEST_MIB, ANSWER_MIB = 20, 32
CPU_S_PER_MIB_MAX = 0.020
READERS = scaled(200, minimum=40)
STALL_S = 5
CUT_DEADLINE_S = 90.0
# More than sockets and the front hold between them, so that the rest must wait for the reader.
STALLED_PIECES = 64


def _processes(front: Front) -> list[int]:
    pid = front.process.pid
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def _cpu_s(front: Front) -> float:
    ticks = 0
    for pid in _processes(front):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("direction", ["request", "answer"])
async def test_a_large_body_costs_little_cpu(program: Program, state: Path, direction: str) -> None:
    front = start_front(state, program)
    core = await start_core(front)
    size = (REQUEST_MIB if direction == "request" else ANSWER_MIB) * MIB
    body = random.Random(1).randbytes(size)
    headers = {**front.basic, "content-type": "application/json"}
    try:
        async with front.http() as http:
            before_s = _cpu_s(front)
            if direction == "request":
                assert (await http.post(CHAT, content=body, headers=headers)).status_code == 200
                assert core.call.request.data == body
            else:
                core.script = Script(pieces=[body[at : at + PIECE_BYTES_MAX] for at in range(0, size, PIECE_BYTES_MAX)])
                assert (await http.post(CHAT, content=b"{}", headers=headers)).content == body
            spent_s = (_cpu_s(front) - before_s) / (size / MIB)
    finally:
        await core.stop()
        front.stop()
    print(f"\n{program.name}: {direction}: {spent_s * 1000:.1f} ms of CPU for a megabyte")
    assert spent_s <= CPU_S_PER_MIB_MAX


async def test_readers_that_stand_still_are_cut_and_hold_nobody_up(program: Program, state: Path) -> None:
    front = start_front(state, program, send_timeout_s=STALL_S)
    core = await start_core(front)
    core.script = Script(pieces=[b"x" * PIECE_BYTES_MAX] * STALLED_PIECES, hold=True)
    stalled: list[asyncio.StreamWriter] = []
    try:
        for _ in range(READERS):
            stalled.append(await _stalled(front))
        await reached(lambda: len(core.calls) == READERS, CUT_DEADLINE_S, "all of them at the core")
        core.script = Script()
        async with front.http() as http:
            answer = await http.get("/v1/models", headers=front.basic)
        assert answer.status_code == 200
        calls = core.calls[:READERS]
        await reached(lambda: all(call.ended_s is not None for call in calls), CUT_DEADLINE_S, "the end of each call")
        assert all(call.cancelled for call in calls)
    finally:
        for writer in stalled:
            writer.transport.abort()
        await core.stop()
        front.stop()


async def _stalled(front: Front) -> asyncio.StreamWriter:
    """Asks for an answer, reads its first line and no more."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.setblocking(False)
    await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", front.port))
    reader, writer = await asyncio.open_connection(sock=small, ssl=front.tls(), server_hostname="localhost", limit=1024)
    head = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: {front.basic['authorization']}\r\n"
    writer.write(f"{head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}".encode())
    assert await asyncio.wait_for(reader.readline(), CUT_DEADLINE_S) == b"HTTP/1.1 200 OK\r\n"
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    return writer

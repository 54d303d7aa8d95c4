"""Mutated conversations against a server process: it does not crash, no call stays, nothing grows, nobody else notices."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.processes import RunningProcess, wait_until
from tests.scale import SCALE, scaled
from tests.transport.recorded import long_calls, mutated, record, same, short_calls

pytestmark = pytest.mark.slow
# A million cases take some minutes, so CI has a hundredth of them and `make soak` all.
CASES = scaled(1_000_000) if SCALE >= 1 else scaled(100_000, minimum=2_000)
HELD_MAX = 50
# In which what a case costs once (tables, pools, the allocator's pages) has been paid.
WARM_UP = 1_000
GROWTH_MIB_MAX = 16
SEED = 11
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningProcess]:
    with RunningProcess.python("-m", "tests.transport.service", "native") as running:
        running.wait_for_line(r"port \d+")
        yield running


def port_of(server: RunningProcess) -> int:
    return int(server.wait_for_line(r"port (\d+)")[1])


class Counting:
    """What the server says of itself, over a connection of its own that outlives the fuzz."""

    def __init__(self, port: int) -> None:
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
        self._count = self._channel.unary_unary("/test.Bytes/count", same, same)

    def __call__(self) -> dict[str, Any]:
        return dict(json.loads(self._count(b"", timeout=30, wait_for_ready=True)))

    def at_rest(self) -> dict[str, Any]:
        wait_until(lambda: self()["live"] == 0, 30, "the end of every call")
        return self()

    def close(self) -> None:
        self._channel.close()


def send_all(port: int, cases: int, rng: random.Random, seeds: list[bytes]) -> None:
    """Each on a connection of its own; some stay open for a while, all go without having read."""
    held: list[socket.socket] = []
    for _ in range(cases):
        each = socket.create_connection(("127.0.0.1", port))
        each.settimeout(5)
        with contextlib.suppress(OSError):  # the server may have closed before it has all
            each.sendall(mutated(rng.choice(seeds), rng))
        held.append(each)
        if len(held) > HELD_MAX:
            leaving = held.pop(rng.randrange(len(held)))
            if rng.random() < 0.3:
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            leaving.close()
    for each in held:
        each.close()


@pytest.mark.timeout(3600)
def test_mutated_conversations_leave_nothing_behind(server: RunningProcess) -> None:
    port = port_of(server)
    seeds = [record(port, short_calls), record(port, long_calls)]
    seeds.append(seeds[0][:2000])
    rng = random.Random(SEED)
    count = Counting(port)
    send_all(port, WARM_UP, rng, seeds)
    before = count.at_rest()
    send_all(port, CASES, rng, seeds)
    wait_until(lambda: count()["files"] <= before["files"], 30, "the end of every connection")
    after = count.at_rest()
    count.close()
    assert after["tasks"] <= before["tasks"]
    assert after["kept"] <= before["kept"] + 4, "calls and connections in memory"
    assert after["rss_bytes"] - before["rss_bytes"] < GROWTH_MIB_MAX << 20
    assert "Traceback" not in server.output, server.output[-4000:]
    assert server.stop() == 0


def test_the_mutations_change_what_they_are_given() -> None:
    rng = random.Random(SEED)
    data = bytes(range(256)) * 4
    assert sum(mutated(data, rng) != data for _ in range(100)) > 90

"""A provider that floods costs its own call: it ends in time, in bounded memory, and a call next to it hardly waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import grpc
import psutil
import pytest
from google.api.httpbody_pb2 import HttpBody

from adapters import Task
from sidecar.domain.snapshot import Retries, Route, Timeouts
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.floods.provider import STREAMED, WHOLE
from tests.processes import reached
from tests.scale import SCALE
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import USER, read

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TOTAL_S = 1.0
# 50 ms is what a call beside a flood may wait; ten times that on a machine that others use too.
NEIGHBOUR_S = 0.5
# An answer may have 64 MiB, which are there twice when its parts are joined; and what the parts are made of.
MEMORY_BYTES_MAX = 256 << 20
# What is kept when all is over: not an answer for each call that failed.
KEPT_BYTES_MAX = 128 << 20
ATTEMPTS = 3
HELLO = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])]
# The provider, what stands before the path, options of the route.
FORMATS = {
    "openai": ("openai", "/v1", {}),
    "anthropic": ("anthropic", "", {"default_max_tokens": 9}),
    "cohere": ("cohere", "", {}),
    "cohere-v1": ("cohere-v1", "", {}),
    "responses": ("openai", "/v1", {"chat_api": "responses"}),
}
DOORS = ("rest", "typed")


class Cell(NamedTuple):
    kind: str
    format: str
    door: str
    streamed: bool

    @property
    def route(self) -> str:
        return f"{self.format}-{self.kind}"


def cells() -> list[Cell]:
    """All of them; in CI every kind whole and streamed, formats and doors in turns."""
    kinds = [(kind, False) for kind in WHOLE] + [(kind, True) for kind in STREAMED]
    everything = [
        Cell(kind, format_, door, streamed) for kind, streamed in kinds for format_ in FORMATS for door in DOORS
    ]
    return everything if SCALE >= 1 else everything[:: len(FORMATS) * len(DOORS) + 1] + _the_rest(everything)


def _the_rest(everything: list[Cell]) -> list[Cell]:
    """One cell of each kind that the turns left out."""
    taken = {(cell.kind, cell.streamed) for cell in everything[:: len(FORMATS) * len(DOORS) + 1]}
    rest = {(cell.kind, cell.streamed): cell for cell in everything if (cell.kind, cell.streamed) not in taken}
    return list(rest.values())


@dataclass(slots=True)
class Neighbour:
    """Calls a good route again and again in a thread of its own; how long each took."""

    target: str
    took: list[float] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with grpc.insecure_channel(self.target) as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            while not self.stop.wait(0.005):
                began_s = time.perf_counter()
                stub.Chat(pb.ChatRequest(route="well", messages=HELLO), timeout=60)
                self.took.append(time.perf_counter() - began_s)


@contextmanager
def calls_next_to(target: str) -> Iterator[Neighbour]:
    found = Neighbour(target)
    thread = threading.Thread(target=found.run, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.stop.set()
        thread.join(60)


@contextmanager
def flooding() -> Iterator[int]:
    command = [sys.executable, "-m", "tests.floods.provider"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def routes(port: int, some: list[Cell]) -> list[Route]:
    made = {"well": route("well", Task.CHAT, f"http://127.0.0.1:{port}/v1", model="well")}
    for cell in some:
        provider, path, options = FORMATS[cell.format]
        made[cell.route] = route(
            cell.route,
            Task.CHAT,
            f"http://127.0.0.1:{port}{path}",
            provider=provider,
            model=cell.kind,
            options=options,
            timeouts=Timeouts(total_s=TOTAL_S),
            retries=Retries(budget=0),
        )
    return list(made.values())


async def outcome(worker: WorkerProcess, cell: Cell) -> str:
    """The gateway's word for how the call ended."""
    if cell.door == "rest":
        body = {"model": cell.route, "messages": [{"role": "user", "content": "hi"}], "stream": cell.streamed}
        request = HttpBody(content_type="application/json", data=json.dumps(body).encode())
        answer = await read(worker.rest().ChatCompletions(request, metadata=USER))
        last = answer.body.strip().rpartition(b"data: ")[2] if answer.status == 200 else answer.body
        return str(json.loads(last)["error"]["code"])
    try:
        request = pb.ChatRequest(route=cell.route, messages=HELLO)
        if cell.streamed:
            async for _ in worker.inference().StreamChat(request):
                pass
        else:
            await worker.inference().Chat(request)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "ok"


ENDS = {
    *("upstream_protocol", "upstream_timeout", "upstream_interrupted", "upstream_unavailable"),
    *("INTERNAL", "DEADLINE_EXCEEDED", "UNAVAILABLE"),  # the same as gRPC says them
}


def peak_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024


async def test_a_flood_costs_its_own_call() -> None:
    some = cells()
    assert {(cell.kind, cell.streamed) for cell in some} == {
        *((k, False) for k in WHOLE),
        *((k, True) for k in STREAMED),
    }
    wrong: list[str] = []
    with flooding() as port:
        async with WorkerProcess(snapshot(routes(port, some))) as worker:
            process = psutil.Process(worker.pid)
            with calls_next_to(f"unix:{worker.ready.grpc_path}") as neighbour:
                await reached(lambda: len(neighbour.took) > 20)
                start_bytes = process.memory_info().rss
                for cell in some:
                    # Other programs of the machine take turns too: what a flood does, it does each time.
                    attempts = [await cost(worker, cell, neighbour)]
                    while attempts[-1] and len(attempts) < ATTEMPTS:
                        attempts.append(await cost(worker, cell, neighbour))
                    if attempts[-1]:
                        wrong.append(f"{cell}: {attempts}")
                await reached(lambda: process.memory_info().rss - start_bytes < KEPT_BYTES_MAX)
            log = worker.log.read_text()
    assert wrong == []
    assert "a bug in the gateway" not in log


async def cost(worker: WorkerProcess, cell: Cell, neighbour: Neighbour) -> str:
    """Makes the call; what it cost where that is too much, else ""."""
    neighbour.took.clear()
    _forget_peak(worker.pid)
    before_bytes, began_s = psutil.Process(worker.pid).memory_info().rss, time.perf_counter()
    end = await outcome(worker, cell)
    took_s, waited_s = time.perf_counter() - began_s, max(neighbour.took, default=0.0)
    grown = peak_bytes(worker.pid) - before_bytes
    if end in ENDS and took_s < TOTAL_S * 10 and waited_s < NEIGHBOUR_S and grown < MEMORY_BYTES_MAX:
        return ""
    return f"{end}, {took_s:.2f} s, beside it {waited_s:.3f} s, {grown >> 20} MiB"


def _forget_peak(pid: int) -> None:
    fd = os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY)
    os.write(fd, b"5")
    os.close(fd)

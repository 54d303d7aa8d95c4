"""The core dies in mid-call: where fronts may differ (docs/concepts/fronts.md), as data.

A provider's failure never looks like that.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import grpc.aio
import httpx
import pytest

from tests.faults.doors import DOORS, EVENTS
from tests.faults.entrances import ENTRANCES, GRPC, PATIENCE_S, Clients, Entrance, grpc_request
from tests.processes import reached
from tests.provider import Call, Gate, Provider, Reply, default_reply
from tests.worker.running import WorkerProcess, default_routes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# (front, door, streamed) -> what a caller gets whose worker is killed: before the answer, or after half of a stream.
# REST: status and code, or "cut" where the connection ends as no whole answer does. gRPC: the status, INTERNAL being what clients
# make of a stream that was reset.
KILLED = {
    (front, door, streamed): outcome
    for front in ("nginx", "envoy")
    for door, unary, stream in (
        (GRPC, "UNAVAILABLE", "INTERNAL"),
        *((door, "503 core_unavailable", "cut") for door in ("chat", "messages", "responses")),
    )
    for streamed, outcome in ((False, unary), (True, stream))
}
CELLS = [(entrance, streamed) for entrance in ENTRANCES if entrance.program for streamed in (False, True)]


def test_every_front_has_its_row() -> None:
    assert {(entrance.program, entrance.door, streamed) for entrance, streamed in CELLS} == KILLED.keys()


async def test_a_worker_that_is_killed_in_mid_call_is_no_success_and_nothing_is_asked_twice(provider: Provider) -> None:
    gate = provider.gate()
    provider.script = halfway(gate)
    async with AsyncExitStack() as running:
        worker = await running.enter_async_context(WorkerProcess(default_routes(provider.base_url)))
        clients = await running.enter_async_context(Clients(worker))
        begun = [asyncio.Event() for _ in CELLS]
        calls = [
            asyncio.create_task(outcome_of(clients, *cell, event)) for cell, event in zip(CELLS, begun, strict=True)
        ]
        await reached(lambda: gate.waiting == len(CELLS), PATIENCE_S, "all calls half-way")
        await asyncio.gather(*(event.wait() for event, (_, streamed) in zip(begun, CELLS, strict=True) if streamed))
        os.kill(worker.pid, signal.SIGKILL)
        words = await asyncio.wait_for(asyncio.gather(*calls), PATIENCE_S)
        await provider.until(lambda p: not p.open_connections, PATIENCE_S)
        assert len(provider.calls) == len(CELLS)
        gate.open()
    seen = {
        (entrance.program, entrance.door, streamed): word
        for (entrance, streamed), word in zip(CELLS, words, strict=True)
    }
    assert seen == KILLED


def halfway(gate: Gate) -> Callable[[Call], Reply]:
    """Streams stand after half of their events, other answers before their first byte."""

    def reply(call: Call) -> Reply:
        healthy = default_reply(call, call.json)
        if not call.json.get("stream"):
            return replace(healthy, before=gate)
        half = len(healthy.parts) // 2
        return replace(healthy, parts=[*healthy.parts[:half], gate, *healthy.parts[half:]])

    return reply


async def outcome_of(clients: Clients, entrance: Entrance, streamed: bool, begun: asyncio.Event) -> str:
    """In KILLED's words. `begun` is set once a piece of the stream is here."""
    try:
        return await (by_grpc if entrance.typed else by_rest)(clients, entrance, streamed, begun)
    except httpx.TransportError:
        return "cut"
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)


async def by_grpc(clients: Clients, entrance: Entrance, streamed: bool, begun: asyncio.Event) -> str:
    stub = clients.stubs[entrance.program]
    if not streamed:
        await stub.Chat(grpc_request("chat"), metadata=clients.metadata(entrance))
        return "OK"
    async for _ in stub.StreamChat(grpc_request("chat"), metadata=clients.metadata(entrance)):
        begun.set()
    return "OK"


async def by_rest(clients: Clients, entrance: Entrance, streamed: bool, begun: asyncio.Event) -> str:
    assert entrance.program is not None
    door = DOORS[entrance.door]
    async with clients.http[entrance.program].stream("POST", door.path, json=door.body("chat", streamed)) as answer:
        text = ""
        async for piece in answer.aiter_text():
            text += piece
            begun.set()
    if answer.status_code == 200:
        return "OK" if not streamed or not door.read(200, {"content-type": EVENTS}, text).wrong else "ended early"
    return f"{answer.status_code} {json.loads(text)['error']['code']}"

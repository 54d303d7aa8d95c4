"""Callers that leave, through every entrance and at each format: the provider's call ends, is counted once, and is paid once."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack, suppress

import grpc.aio
import httpx
import pytest

from tests.faults.doors import DOORS
from tests.faults.entrances import ENTRANCES, Clients, Entrance, grpc_request
from tests.faults.matrix import CASES, CODES, FORMATS, Cell, snapshot
from tests.faults.test_dying import halfway
from tests.faults.test_matrix import at_rest, outcomes, spent
from tests.processes import DEADLINE_S, reached
from tests.provider import Provider
from tests.worker.running import WorkerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
WELL = next(mode for mode, _ in CASES if mode.id == "well")
_CANCELLED = "cancelled"
assert _CANCELLED not in {kind.value for kind in CODES}


def cells() -> list[Cell]:
    """Each entrance but a worker's own, whole and streamed, at each format."""
    entrances = [entrance for entrance in ENTRANCES if entrance.program is not None]
    rows = itertools.product((False, True), entrances, FORMATS)
    return [Cell(number, WELL, *row, False) for number, row in enumerate(rows)]


async def test_a_caller_that_leaves_ends_the_providers_call_and_is_counted_and_charged_once(provider: Provider) -> None:
    some = cells()
    gate = provider.gate()
    provider.script = halfway(gate)
    async with AsyncExitStack() as running:
        routes = snapshot(some, {"provider": provider.root_url}, provider)
        worker = await running.enter_async_context(WorkerProcess(routes, metrics=True))
        clients = await running.enter_async_context(Clients(worker))
        begun = {cell: asyncio.Event() for cell in some}
        callers = [asyncio.create_task(call(clients, cell, begun[cell])) for cell in some]
        await reached(lambda: gate.waiting == len(some), DEADLINE_S * 3, "all calls half-way")
        async with asyncio.timeout(DEADLINE_S * 3):
            await asyncio.gather(*(event.wait() for cell, event in begun.items() if cell.streamed))
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await at_rest(worker, provider)  # though the gate is still closed
        counted, paid = outcomes(worker), spent(worker)
        gate.open()
    assert len(provider.calls) == len(some)
    assert [call.json["model"] for call in provider.calls if call.peer_closed_s is None] == []
    assert counted == {(cell.route, _CANCELLED): 1 for cell in some}
    # Of a stream that was left what had come by then is paid for.
    assert {cell.name: paid.get(cell.route, 0) for cell in some} == {
        cell.name: 7 if cell.streamed else 0 for cell in some
    }


async def call(clients: Clients, cell: Cell, begun: asyncio.Event) -> None:
    with suppress(httpx.TransportError, grpc.aio.AioRpcError):
        await (by_grpc if cell.entrance.typed else by_rest)(clients, cell.entrance, cell, begun)


async def by_grpc(clients: Clients, entrance: Entrance, cell: Cell, begun: asyncio.Event) -> None:
    stub, metadata = clients.stubs[entrance.program], clients.metadata(entrance)
    if not cell.streamed:
        await stub.Chat(grpc_request(cell.route), metadata=metadata)
        return
    async for _ in stub.StreamChat(grpc_request(cell.route), metadata=metadata):
        begun.set()


async def by_rest(clients: Clients, entrance: Entrance, cell: Cell, begun: asyncio.Event) -> None:
    assert entrance.program is not None
    door, http = DOORS[entrance.door], clients.http[entrance.program]
    async with http.stream("POST", door.path, json=door.body(cell.route, cell.streamed)) as answer:
        async for _ in answer.aiter_bytes():
            begun.set()

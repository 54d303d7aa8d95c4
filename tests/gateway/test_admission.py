"""Places and queues, without calls."""

from __future__ import annotations

import asyncio
import random

import pytest

from adapters import GatewayError, Kind, Task
from sidecar.domain.snapshot import Admission, Route, Snapshot, Upstream
from sidecar.gateway.admission import Admissions, Gate
from tests.processes import reached

PATIENT_S = 60.0
UPSTREAM = Upstream("openai", "m", "http://127.0.0.1:1", None)


def routed(worker: Admission, route: Admission | None = None) -> Snapshot:
    return Snapshot({"r": Route("r", Task.CHAT, (UPSTREAM,), admission=route)}, "0" * 12, admission=worker)


async def test_places_are_given_in_order_and_back_to_the_first_who_waits() -> None:
    gate = Gate(Admission(1, queue_max=2, queue_s=PATIENT_S))
    order: list[int] = []

    async def visit(number: int) -> None:
        await gate.enter()
        order.append(number)

    await gate.enter()
    visits = [asyncio.ensure_future(visit(0))]
    await reached(lambda: gate.waiting == 1)
    visits.append(asyncio.ensure_future(visit(1)))
    await reached(lambda: gate.waiting == 2)
    with pytest.raises(GatewayError) as full:
        await gate.enter()
    assert full.value.kind is Kind.OVERLOADED
    gate.leave()
    await visits[0]
    assert not gate.try_enter(), "nobody passes the queue"
    gate.leave()
    await visits[1]
    gate.leave()
    assert order == [0, 1]
    assert gate.unused


async def test_the_queue_is_left_when_the_wait_is_too_long() -> None:
    gate = Gate(Admission(1, queue_max=1, queue_s=0.02))
    await gate.enter()
    with pytest.raises(GatewayError):
        await gate.enter()
    assert gate.waiting == 0
    gate.leave()
    assert gate.unused


async def test_a_refusal_by_the_worker_gives_the_routes_place_back() -> None:
    snapshot = routed(Admission(1), Admission(5))
    gates = Admissions(snapshot)
    route = snapshot.routes["r"]
    place = await gates.enter(route)
    for _ in range(20):
        with pytest.raises(GatewayError):
            await gates.enter(route)
    gates.leave(place)
    assert gates.taken == 0
    again = [await gates.enter(route)]
    assert again[0] is not None
    assert again[0].taken == 1


async def test_a_reload_lets_in_who_fits_now_and_keeps_who_is_there() -> None:
    small, large = routed(Admission(10), Admission(1, 5, PATIENT_S)), routed(Admission(10), Admission(3, 5, PATIENT_S))
    gates = Admissions(small)
    first = await gates.enter(small.routes["r"])
    waiting = [asyncio.ensure_future(gates.enter(small.routes["r"])) for _ in range(3)]
    await reached(lambda: gates.waiting == 3)
    gates.reload(large)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    await reached(lambda: sum(each.done() for each in waiting) == 2)
    assert gates.waiting == 1
    gates.reload(small)  # smaller again: leaving lets nobody in until there is room
    gates.leave(first)
    gates.leave(waiting[0].result())
    assert gates.waiting == 1
    gates.leave(waiting[1].result())
    gates.leave(await waiting[2])
    assert gates.taken == 0


async def test_whatever_callers_do_no_place_is_lost_and_none_is_given_twice() -> None:
    rng = random.Random(11)
    gate = Gate(Admission(3, queue_max=4, queue_s=0.003))
    inside = most = 0

    async def visit() -> None:
        nonlocal inside, most
        try:
            await gate.enter()
        except GatewayError:
            return
        inside += 1
        most = max(most, inside)
        try:
            await asyncio.sleep(rng.uniform(0, 0.004))
        finally:
            inside -= 1
            gate.leave()

    for _ in range(60):
        visits = [asyncio.ensure_future(visit()) for _ in range(12)]
        for each in visits:
            if rng.random() < 0.4:
                asyncio.get_running_loop().call_later(rng.uniform(0, 0.004), each.cancel)
        await asyncio.wait(visits)
    assert most == 3
    assert gate.unused

"""The fault matrix. Each cell: status, body, outcome label, number of provider calls, money; in the end nothing is open."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import MappingProxyType

import psutil
import pytest

from tests.faults.doors import EVENTS, JSON, Seen
from tests.faults.entrances import ENTRANCES, Clients, Entrance
from tests.faults.matrix import CODES, Cell, Verdict, full, healthy, judge, paired, script, snapshot
from tests.faults.modes import MODES
from tests.processes import free_port, reached
from tests.provider import Provider
from tests.scale import SCALE
from tests.worker.running import WorkerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
# Calls at once, of those that answer at once; the quiet ones wait beside each other.
AT_ONCE = 8
SLOW_AT_ONCE = 100
# Until a busy machine has seen to what is over.
QUIET_DOWN_S = 60.0
MODES_MIN = 42
# Of a thousand wrong cells a few say it all.
SHOWN_MAX = 40
# Descriptors and threads of a worker that come and go by themselves (gRPC's pollers).
SPARE = 8
# What a front says of its own failures, not of those it passes on.
ALARM = re.compile(r"\[(alert|emerg|crit|critical)\]")
STRAIGHT = ENTRANCES[0]
PARTS = [paired()] if SCALE < 1 else full()
# Names have 253 bytes at most, so that this one is refused without asking anybody, on every machine alike.
NO_NAME = ".".join(["a" * 60] * 5)

Counts = dict[tuple[str, str], int]  # (route, outcome) -> calls


def test_the_modes_are_as_many_as_were_promised_and_each_is_told_apart() -> None:
    names = [mode.id for mode in MODES]
    assert len(set(names)) == len(names) >= MODES_MIN
    assert {mode.unary for mode in MODES} | {mode.stream for mode in MODES} == {None, *CODES}


@pytest.mark.parametrize("part", range(len(PARTS)))
async def test_every_cell_of_the_matrix_is_as_documented(part: int) -> None:
    some = PARTS[part]
    async with AsyncExitStack() as running:
        faulty, well, untrusted = [running.enter_context(Provider(tls=tls)) for tls in (False, False, True)]
        faulty.script = script(some)
        well.script = healthy
        worker = await running.enter_async_context(
            WorkerProcess(snapshot(some, addresses(faulty, untrusted), well), metrics=True)
        )
        clients = await running.enter_async_context(Clients(worker))
        verdicts, made = await judged(some, worker, clients, faulty, well)
        assert untrusted.calls == []
        healed = dict.fromkeys(addresses(faulty, untrusted), well.root_url)
        await worker.reload(snapshot(some, healed, well))
        later = await ask_all(clients, some, dict.fromkeys(some, STRAIGHT))
        log, fronts = worker.log.read_text(), clients.logs
    for verdict in verdicts:
        verdict.same("the next call of the route", later[verdict.cell].code, "OK")
    show(verdicts)
    wrong = [f"{each.cell.name}: {'; '.join(each.wrong)}" for each in verdicts if each.wrong]
    assert not wrong, f"{len(wrong)} of {len(verdicts)} cells\n" + "\n".join(wrong[:SHOWN_MAX])
    assert made == sum(cell.attempts + cell.falls_back for cell in some)
    assert "a bug in the gateway" not in log
    assert "Traceback" not in log
    assert [line for line in fronts.splitlines() if ALARM.search(line)] == []


def addresses(faulty: Provider, untrusted: Provider) -> dict[str, str]:
    """Mode.where -> root URL."""
    return {
        "provider": faulty.root_url,
        "closed port": f"http://127.0.0.1:{free_port()}",
        "untrusted": untrusted.root_url,
        "plain": faulty.root_url.replace("http:", "https:"),
        "no such name": f"http://{NO_NAME}",
    }


async def judged(
    some: list[Cell], worker: WorkerProcess, clients: Clients, faulty: Provider, well: Provider
) -> tuple[list[Verdict], float]:
    """Asks each cell once, and has looked at everything when it returns: answers, counts, and that nothing is left. The number is
    the attempts that the gateway counted."""
    process = psutil.Process(worker.pid)
    warm = [cell for cell in some if cell.mode.id == "well"]
    await ask_all(clients, warm)
    await at_rest(worker, faulty, well)
    faulty.calls.clear()
    well.calls.clear()
    before, attempts_before, open_before = outcomes(worker), attempts(worker), process.num_fds()
    spent_before = spent(worker)
    seen = await ask_all(clients, some)
    await at_rest(worker, faulty, well)
    counted = {key: count - before.get(key, 0) for key, count in outcomes(worker).items()}
    verdicts = [judge(cell, answer) for cell, answer in seen.items()]
    count_calls(verdicts, faulty, well, counted)
    spent_now = spent(worker)
    for verdict in verdicts:
        route = verdict.cell.route
        verdict.same("micro-dollars", spent_now.get(route, 0) - spent_before.get(route, 0), verdict.cell.spent)
    await reached(lambda: process.num_fds() <= open_before + SPARE, QUIET_DOWN_S, "closed descriptors")
    return verdicts, attempts(worker) - attempts_before


async def at_rest(worker: WorkerProcess, *providers: Provider) -> None:
    """No call is under way, and no provider has a connection left."""
    await reached(lambda: total(worker, "sidecar_in_flight") == 0, QUIET_DOWN_S, "the end of all calls")
    for provider in providers:
        await provider.until(lambda p: not p.open_connections, QUIET_DOWN_S)


async def ask_all(
    clients: Clients, some: list[Cell], elsewhere: Mapping[Cell, Entrance] = MappingProxyType({})
) -> dict[Cell, Seen]:
    """`elsewhere`: in place of the cells' own; then they are expected to be well."""
    brisk, slow = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(SLOW_AT_ONCE)

    async def ask(cell: Cell) -> Seen:
        async with slow if cell.mode.quiet or cell.mode.slow else brisk:
            return await clients.ask(elsewhere.get(cell, cell.entrance), cell.route, streamed=cell.streamed)

    return dict(zip(some, await asyncio.gather(*map(ask, some)), strict=True))


def outcomes(worker: WorkerProcess) -> Counts:
    found: Counts = {}
    for sample in worker.samples("sidecar_requests_total"):
        found[sample.labels["route"], sample.labels["outcome"]] = int(sample.value)
    return found


def spent(worker: WorkerProcess) -> dict[str, int]:
    """Route -> micro-dollars."""
    return {sample.labels["route"]: int(sample.value) for sample in worker.samples("sidecar_spend_micro_dollars_total")}


def attempts(worker: WorkerProcess) -> float:
    return total(worker, "sidecar_upstream_requests_total")


def total(worker: WorkerProcess, name: str) -> float:
    return sum(sample.value for sample in worker.samples(name))


def count_calls(verdicts: list[Verdict], faulty: Provider, well: Provider, counted: Counts) -> None:
    """By what the provider saw, and what the gateway counted."""
    at_first, at_spare = (Counter(call.json["model"] for call in provider.calls) for provider in (faulty, well))
    for verdict in verdicts:
        cell = verdict.cell
        verdict.same("provider calls", at_first[cell.route], cell.provider_calls)
        verdict.same("fallback calls", at_spare[cell.route], int(cell.falls_back))
        outcome = cell.failure.value if cell.failure else "ok"
        own = {key[1]: count for key, count in counted.items() if key[0] == cell.route and count}
        verdict.same("outcomes", own, {outcome: 1})


def show(verdicts: list[Verdict]) -> None:
    """The table: one line a mode, cells that are as documented of all."""
    print(f"\n{'mode':46} {'unary':30} {'stream':30} cells")
    for mode in MODES:
        own = [verdict for verdict in verdicts if verdict.cell.mode is mode]
        right = sum(not verdict.wrong for verdict in own)
        kinds = [str(kind) if kind else "ok" for kind in (mode.unary, mode.stream)]
        print(f"{mode.id:46} {kinds[0]:30} {kinds[1]:30} {right}/{len(own)}")
    for entrance in ENTRANCES:
        own = [verdict for verdict in verdicts if verdict.cell.entrance is entrance]
        print(f"{entrance!s:46} {sum(not verdict.wrong for verdict in own)}/{len(own)}")
    right = sum(not verdict.wrong for verdict in verdicts)
    print(f"{len(MODES)} modes, {len(ENTRANCES)} entrances, {right} of {len(verdicts)} cells as documented")


def test_a_planted_fault_is_found() -> None:
    """Positive control: a cell that answers otherwise than documented is told."""
    cell = next(each for each in paired() if each.mode.id == "status 503" and each.entrance.door == "chat")
    cell = replace(cell, streamed=False, fallback=False)
    good = Seen(503, "upstream_unavailable", "api_error", JSON, should_retry=False)
    assert judge(cell, good).wrong == []
    for bad in (
        replace(good, should_retry=True),
        replace(good, code=500),
        replace(good, type="server_error"),
        replace(good, media=EVENTS),
        replace(good, text="key sk-canary-0123456789"),
        replace(good, wrong=["no JSON"]),
        Seen(200, media=JSON, upstream="openai"),
    ):
        assert judge(cell, bad).wrong

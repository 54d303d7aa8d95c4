"""The fault matrix. Each cell: status, body, outcome label, number of provider calls; in the end nothing is open or runs."""

from __future__ import annotations

import asyncio
from collections import Counter

import psutil
import pytest

from tests.core.test_grpc_clients import scrape
from tests.core.worker import WorkerProcess
from tests.faults.matrix import CODES, FRONTS, Cell, Seen, Verdict, cells, healthy, judge, script, snapshot
from tests.faults.modes import MODES
from tests.processes import free_port, reached
from tests.provider import Provider

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
# Calls at once, of those that answer at once; the quiet ones wait beside each other.
AT_ONCE = 8
MODES_MIN = 42
# Of a thousand wrong cells a few say it all.
SHOWN_MAX = 40
# Descriptors and threads of a worker that come and go by themselves (gRPC's pollers).
SPARE = 8

Counts = dict[tuple[str, str], int]  # (route, outcome) -> calls


def test_the_modes_are_as_many_as_were_promised_and_each_is_told_apart() -> None:
    names = [mode.id for mode in MODES]
    assert len(set(names)) == len(names) >= MODES_MIN
    assert {mode.unary for mode in MODES} | {mode.stream for mode in MODES} == {None, *CODES}


async def test_every_cell_of_the_matrix_is_as_documented() -> None:
    all_cells = cells(tuple(FRONTS))
    with Provider() as faulty, Provider() as well, Provider(tls=True) as untrusted:
        faulty.script = script(all_cells)
        well.script = healthy
        addresses = {
            "provider": faulty.root_url,
            "closed port": f"http://127.0.0.1:{free_port()}",
            "untrusted": untrusted.root_url,
            "plain": faulty.root_url.replace("http:", "https:"),
        }
        async with WorkerProcess(snapshot(all_cells, addresses, well), metrics=True) as worker:
            process = psutil.Process(worker.pid)
            await ask_all(worker, [cell for cell in all_cells if cell.mode.id == "well"])  # warm
            faulty.calls.clear()
            well.calls.clear()
            before, open_before = outcomes(worker), process.num_fds()
            seen = await ask_all(worker, all_cells)
            await faulty.until(lambda p: not p.open_connections)
            counted = outcomes(worker)
            counted = {key: count - before.get(key, 0) for key, count in counted.items()}
            verdicts = [judge(cell, answer) for cell, answer in seen.items()]
            count_calls(verdicts, faulty, well, counted)
            attempts = total(worker, "sidecar_upstream_requests_total")
            assert total(worker, "sidecar_in_flight") == 0
            await reached(lambda: process.num_fds() <= open_before + SPARE, what="closed descriptors")
            log = worker.log.read_text()
        assert untrusted.calls == []
    show(verdicts)
    wrong = [f"{each.cell.name}: {'; '.join(each.wrong)}" for each in verdicts if each.wrong]
    assert not wrong, f"{len(wrong)} of {len(verdicts)} cells\n" + "\n".join(wrong[:SHOWN_MAX])
    warm = sum(cell.mode.id == "well" for cell in all_cells)
    assert attempts == warm + sum(cell.attempts + cell.falls_back for cell in all_cells)
    assert "a bug in the gateway" not in log
    assert "Traceback" not in log


async def ask_all(worker: WorkerProcess, some: list[Cell]) -> dict[Cell, Seen]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(cell: Cell) -> Seen:
        if cell.mode.quiet or cell.mode.slow:
            return await FRONTS[cell.front](worker, cell)
        async with gate:
            return await FRONTS[cell.front](worker, cell)

    return dict(zip(some, await asyncio.gather(*map(ask, some)), strict=True))


def outcomes(worker: WorkerProcess) -> Counts:
    found: Counts = {}
    for line in scrape(worker).splitlines():
        if line.startswith("sidecar_requests_total{"):
            labels = dict(
                pair.split("=") for pair in line[line.index("{") + 1 : line.index("}")].replace('"', "").split(",")
            )
            found[labels["route"], labels["outcome"]] = int(float(line.rsplit(" ", 1)[1]))
    return found


def total(worker: WorkerProcess, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in scrape(worker).splitlines() if line.startswith(name + "{"))


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
    print(
        f"{len(MODES)} modes, {sum(not verdict.wrong for verdict in verdicts)} of {len(verdicts)} cells as documented"
    )


def test_a_planted_fault_is_found() -> None:
    """Positive control: a cell that answers otherwise than documented is told."""
    cell = next(each for each in cells(("rest",)) if each.mode.id == "status 503" and not each.fallback)
    assert judge(cell, Seen(503, "upstream_unavailable", should_retry=False)).wrong == []
    assert judge(cell, Seen(503, "upstream_unavailable", should_retry=True)).wrong
    assert judge(cell, Seen(500, "internal_error", should_retry=False)).wrong
    assert judge(cell, Seen(200, upstream="openai")).wrong
    assert judge(cell, Seen(503, "x", should_retry=False, text="key sk-canary-0123456789")).wrong

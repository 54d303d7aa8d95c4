"""The race: rows and pages from rounds, systems that fail, processes all counted and all ended, locks that name no host."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.environments import LOCKS, PEERS
from bench.load import Plan, Run
from bench.race import PAGE, main, parse, race
from bench.race_page import page, table
from bench.race_rows import CALLS_PER_S, STREAMS_PER_S, Outcome, Round, Row, rows_of
from bench.run import Measured, cpu_by_process
from bench.stack import Usage, is_alive, usages
from bench.systems import DIRECT, REFERENCE, SYSTEMS
from bench.target import System, Target, running
from tests.processes import REPOSITORY, RunningProcess, free_port, wait_until

MACHINE = dict.fromkeys(("date", "processors", "python", "kernel", "sidecar", "nginx", "envoy"), "some") | {
    "load": "0.1"
}
TINY = ["--rounds=1", "--calls=20", "--streams=4", "--paced-calls=20", "--paced-streams=4", "--gap-ms=0"]
OTHER = System("other", "nothing at all", DIRECT.start)


def measured(cpu_us: float, *, per_s: float, p50_ms: float = 1.0, errors: dict[str, int] | None = None) -> Measured:
    return Measured(
        "x", "rest", 100, errors or {}, per_s, p50_ms, 2 * p50_ms, p50_ms, cpu_us, {}, {"core worker": 50.0}
    )


def round_of(
    call_us: float,
    stream_us: float,
    p50_ms: float = 1.0,
    *,
    per_s: float = CALLS_PER_S,
    errors: dict[str, int] | None = None,
) -> Round:
    return Round(
        measured(call_us, per_s=500, errors=errors),
        measured(stream_us, per_s=50),
        measured(call_us, per_s=per_s, p50_ms=p50_ms),
        measured(stream_us, per_s=STREAMS_PER_S, p50_ms=p50_ms),
    )


def rows(*others: Round, failures: tuple[str, ...] = ()) -> list[Row]:
    """Nobody in between, ours at 200 µs a call and 2 ms a stream, and one other."""
    outcomes = {
        DIRECT.name: Outcome([replace(round_of(0, 0), calls=replace(measured(0, per_s=900), rss_mb_by_process={}))]),
        REFERENCE.name: Outcome([round_of(200, 2000, 1.5)]),
        OTHER.name: Outcome(list(others), list(failures)),
    }
    return rows_of((DIRECT, REFERENCE, OTHER), outcomes, REFERENCE.name)


def cells(text: str, name: str) -> list[str]:
    """The figures of a row of the text table."""
    line = next(line for line in text.splitlines() if line.startswith(name))
    return line.removeprefix(name).split()


def test_a_row_has_the_medians_of_its_rounds_and_its_cpu_divided_by_ours() -> None:
    text = table(rows(round_of(100, 6000, 4.0), round_of(900, 5000, 3.0), round_of(500, 4000, 2.0)))
    assert cells(text, "other") == ["500", "2.50", "5.00", "2.50", "2000", "+2.00", "+4.00", "+2.00", "50"]
    assert cells(text, REFERENCE.name)[:5] == ["200", "1.00", "2.00", "1.00", "5000"]
    assert cells(text, DIRECT.name) == ["–", "–", "–", "–", "–", "1.00", "2.00", "1.00", "–"]
    assert re.search(r"^other +nothing at all$", text, re.MULTILINE)


def test_a_system_that_cannot_keep_the_rate_is_marked_and_said_to() -> None:
    for text in (table(slow := rows(round_of(500, 4000, per_s=120))), page(slow, MACHINE, 3)):
        assert "† other cannot keep 200 calls/s here" in text
        assert "+0.00†" in text
    slow_and_steady = round_of(500, 4000, p50_ms=100, per_s=100 / (100 / CALLS_PER_S + 0.1))
    assert "†" not in table(rows(slow_and_steady))


def test_errors_are_shown_by_kind_and_no_figure_is_made_of_calls_that_failed() -> None:
    failing = rows(round_of(15, 4000, errors={"status 429: slow\ndown": 60, "TimeoutError()": 2}))
    for text in (table(failing), page(failing, MACHINE, 3)):
        assert "other: 60 x call: status 429: slow down" in text
        assert "other: 2 x call: TimeoutError()" in text
    assert cells(table(failing), "other")[:3] == ["–", "–", "4.00"]
    assert cells(table(rows(round_of(15, 4000, errors={"status 500": 1}))), "other")[0] == "15"


def test_a_system_that_never_ran_has_no_figures_but_its_reason() -> None:
    text = table(rows(failures=("round 1: npm ci: no network",)))
    assert cells(text, "other") == ["–"] * 9
    assert "other: 1 x round 1: npm ci: no network" in text


def mock(folder: Path, then: Callable[[int], None] = lambda _: None) -> Iterator[Target]:
    """The mock as if it were a gateway; `then` gets its process once it serves."""
    port = free_port()
    command = [sys.executable, "-m", "bench.upstream", f"--port={port}"]
    with running(command, folder, Target(f"http://127.0.0.1:{port}/v1"), {"PYTHONPATH": str(REPOSITORY)}) as target:
        assert target.pid is not None
        then(target.pid)
        yield target


def test_systems_that_do_not_start_or_die_fail_their_round_and_the_others_go_on() -> None:
    @contextmanager
    def broken(folder: Path, _: str) -> Iterator[Target]:
        with running(
            [sys.executable, "-c", "print('no port for me')"], folder, Target("http://127.0.0.1:1/v1")
        ) as target:
            yield target

    def kill(pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    systems = [
        System("broken", "", broken),
        System("dies", "", contextmanager(lambda folder, _: mock(folder, kill))),
        System("lives", "", contextmanager(lambda folder, _: mock(folder))),
    ]
    outcomes = race(systems, parse(TINY))
    assert "no port for me" in outcomes["broken"].failures[0]
    assert outcomes["dies"].failures == ["round 1: it ended during the calls"]
    found = {row.name: row for row in rows_of(systems, outcomes, "lives")}
    assert math.isnan(found["broken"].call_us)
    assert math.isnan(found["dies"].rss_mb)
    assert found["lives"].call_us > 0
    assert found["lives"].errors == {}


WRAPPER = "import subprocess, sys; subprocess.run([sys.executable, '-m', 'bench.upstream', sys.argv[1]])"


def test_what_a_wrapper_started_is_counted_and_ended_with_it(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", WRAPPER, f"--port={port}"]
    with running(command, tmp_path, Target(f"http://127.0.0.1:{port}/v1"), {"PYTHONPATH": str(REPOSITORY)}) as target:
        assert target.pid is not None
        both = list(usages(target.pid))
        assert len(both) == 2
    wait_until(lambda: not any(is_alive(pid) for pid in both))


LEAVES_AN_ORPHAN = """
import subprocess, sys, time
subprocess.run([sys.executable, "-c", "import os, time\\nif os.fork() == 0: time.sleep(60)"])
time.sleep(60)
"""


def test_a_process_whose_parent_is_gone_still_belongs_to_its_session() -> None:
    def orphans() -> list[int]:
        family = usages(leader.pid)
        return [pid for pid in family if pid != leader.pid and parent_of(pid) not in family]

    with RunningProcess.python("-c", LEAVES_AN_ORPHAN) as leader:
        wait_until(lambda: len(orphans()) == 1)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


HAD_A_BUSY_PROCESS = """
import subprocess, sys, time
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.5: pass"])
print("done", flush=True)
time.sleep(60)
"""


def test_the_cpu_of_a_child_that_has_ended_counts_once() -> None:
    with RunningProcess.python("-c", HAD_A_BUSY_PROCESS) as parent:
        parent.wait_for_line("done")
        (usage,) = usages(parent.pid).values()
    assert 0.5 <= usage.cpu_s < 1.5
    before = {1: Usage("supervisor", 1.0, 1), 2: Usage("core worker", 2.0, 1)}
    after = {1: Usage("supervisor", 3.5, 1)}  # its own 0.2, and 2.3 of the worker that ended
    assert sum(cpu_by_process(before, after, 1000).values()) == pytest.approx(500)


async def test_a_closed_loop_with_a_limit_begins_no_call_after_it() -> None:
    async def slow(_: int) -> float:
        await asyncio.sleep(0.01)
        return time.perf_counter()

    run = Run(Plan("rest", "", "bench", streamed=False, calls=100_000, in_flight=2, limit_s=0.05), slow)
    await run.closed(100_000)
    assert 2 <= len(run.result(1.0).total_s) < 1000


def test_a_server_of_node_that_names_no_address_listens_on_loopback() -> None:
    show = "function () { console.log(this.address().address); process.exit() }"
    script = f"require('http').createServer().listen(0, undefined, {show})"
    node = Path(sys.executable).with_name("node")
    done = subprocess.run(
        [str(node), "--require", str(REPOSITORY / "bench/loopback.cjs"), "-e", script],
        check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stdout.strip() == "127.0.0.1"


def test_the_locks_of_the_peers_name_no_host_and_hold_what_is_raced() -> None:
    for file in (file for file in LOCKS.rglob("*") if file.is_file()):
        text = re.sub(r'"funding": \S+|"url": \S+', "", file.read_text())  # where a package asks for money
        assert "://" not in text, file
    for name, wanted in PEERS.items():
        package, _, version = re.sub(r"\[.*\]", "", wanted).partition("==")
        lock = (LOCKS / f"{name}.txt").read_text()
        assert re.search(rf"^{package}(\[\w+\])?=={re.escape(version)} ", lock, re.MULTILINE)
        assert "--hash=sha256:" in lock


def test_the_page_has_a_row_for_each_system() -> None:
    text = PAGE.read_text()
    assert [system.name for system in SYSTEMS if f"\n| {system.name} |" not in text] == []


def test_a_page_that_was_made_on_a_busy_machine_says_so() -> None:
    few = rows(round_of(500, 4000))
    assert "trust the ratios of CPU" in page(few, MACHINE | {"load": "4.9"}, 3)
    assert "trust the ratios of CPU" not in page(few, MACHINE, 3)


def test_a_page_of_some_systems_and_a_word_that_names_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, message in (
        (["--page", "--only", "nginx"], "leave --only out"),
        (["--only", "ngnix"], "no such system"),
    ):
        with pytest.raises(SystemExit) as refused:
            parse(wrong)
        assert refused.value.code == 2
        assert message in capsys.readouterr().err


def test_a_race_that_is_stopped_ends_what_it_started() -> None:
    race = ("bench.race", "--rounds=100", *TINY[1:], "--only", "nginx alone")
    with RunningProcess.python("-m", *race) as running_race:
        family: set[int] = set()
        wait_until(lambda: "nginx worker" in {one.label for one in seen(running_race.pid, family)}, 60)
        running_race.send(signal.SIGTERM)
        assert running_race.wait(60) == 1
        assert [pid for pid in family if is_alive(pid)] == []


def seen(pid: int, family: set[int]) -> list[Usage]:
    found = usages(pid)
    family |= set(found)
    return list(found.values())


def test_ours_runs_beside_a_floor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    assert main([*TINY, "--only", "nginx alone", "nginx, governed", f"--json={file}"]) == 0
    figures = json.loads(file.read_text(), parse_constant=pytest.fail)  # JSON knows no NaN
    assert [row["name"] for row in figures["rows"]] == [DIRECT.name, "Nginx alone", "Sidecar, Nginx, governed"]
    direct, floor, ours = figures["rows"]
    assert direct["call_us"] is None
    assert 0 < floor["call_us"] < ours["call_us"]
    assert 0 < floor["rss_mb"] < ours["rss_mb"]
    assert set(figures["rounds"]["Sidecar, Nginx, governed"][0]["calls"]["cpu_us_by_process"]) >= {
        "core worker",
        "nginx worker",
    }
    text = capsys.readouterr().out
    assert "two limits, a budget" in text

"""One limit and many processes: exact together, and none is held up or robbed by one that dies."""

from __future__ import annotations

import fcntl
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from sidecar.limits import LimitStore
from tests.limits.hammer import LIMIT, PLACES, places, requests
from tests.processes import RunningProcess

pytestmark = pytest.mark.slow
WORKERS = 4
CALLS_EACH = 400
DEADLINE_S = 60.0


def worker_process(does: str, folder: Path, slot: int, calls: int = 0) -> RunningProcess:
    return RunningProcess.python("-m", "tests.limits.hammer", does, str(folder), str(slot), str(calls))


def let_in(folder: Path, *, shared: bool) -> int:
    """How many calls of WORKERS processes that begin at once one limit lets in."""
    with ExitStack() as running:
        workers = []
        for slot in range(WORKERS):
            own = folder / ("shared" if shared else str(slot))
            own.mkdir(exist_ok=True)
            workers.append(running.enter_context(worker_process("take", own, slot, CALLS_EACH)))
        for worker in workers:
            worker.wait_for_line("^ready$", DEADLINE_S)
        (folder / "go").touch()
        return sum(int(worker.wait_for_line(r"^let in (\d+)$", DEADLINE_S)[1]) for worker in workers)


def test_n_workers_that_hammer_one_limit_let_in_exactly_the_limit(tmp_path: Path) -> None:
    assert LIMIT - 1 <= let_in(tmp_path, shared=True) <= LIMIT + 1


def test_without_the_shared_store_the_same_workers_let_in_more(tmp_path: Path) -> None:
    """The positive control: each process counts for itself."""
    assert let_in(tmp_path, shared=False) > LIMIT + WORKERS


def test_a_worker_killed_with_the_lock_in_its_hands_holds_nobody_up(tmp_path: Path) -> None:
    with worker_process("lock", tmp_path, 0) as worker:
        worker.wait_for_line("^holds the lock$", DEADLINE_S)
        with (tmp_path / "rates").open("r+b") as file, pytest.raises(OSError, match="unavailable"):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        worker.stop(signal.SIGKILL)
    store = LimitStore(tmp_path, 1)
    assert store.reserve(requests(), 0).refused is None
    store.close()


def test_a_worker_stopped_with_the_lock_in_its_hands_holds_nobody_up(tmp_path: Path) -> None:
    """As a debugger does it, for as long as it likes. While it runs, its lock is waited for."""
    store = LimitStore(tmp_path, 1)
    with worker_process("lock", tmp_path, 0) as worker, ThreadPoolExecutor(1) as thread:
        worker.wait_for_line("^holds the lock$", DEADLINE_S)
        waiting = thread.submit(store.reserve, requests(), 0)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        worker.send(signal.SIGSTOP)
        assert waiting.result(DEADLINE_S).refused is None
    store.close()


def test_the_places_of_a_killed_worker_come_back(tmp_path: Path) -> None:
    store = LimitStore(tmp_path, 1)
    with worker_process("places", tmp_path, 0, PLACES - 1) as worker:
        worker.wait_for_line(rf"^holds {PLACES - 1}$", DEADLINE_S)
        mine = store.reserve(places(), 0)
        assert mine.refused is None
        assert store.reserve(places(), 0).refused is not None
        worker.stop(signal.SIGKILL)
    assert store.reserve(places(), 0).refused is not None, "nobody has said yet that it is dead"
    store.forget_worker(0)
    assert store.under_way(places()[0].key) == 1, "mine is still there"
    again = [store.reserve(places(), 0) for _ in range(PLACES)]
    assert [each.refused is None for each in again] == [True] * (PLACES - 1) + [False]
    for each in (mine, *again):
        store.settle(each, kept=True, tokens=0)
    assert store.under_way(places()[0].key) == 0
    store.close()

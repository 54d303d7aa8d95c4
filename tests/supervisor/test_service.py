"""A child that is not a worker: waited for, brought back, and explained when it does not start."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from sidecar.supervisor.processes.process import CrashLoop, describe_exit
from sidecar.supervisor.processes.service import Service
from sidecar.supervisor.start.start_error import StartError
from tests.processes import is_alive, reached

# Writes its pid, starts a child that does the same, and sleeps.
_FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open("pids.new", "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
os.rename("pids.new", "pids")
time.sleep(60)
"""


def _service(folder: Path, program: str, ready_timeout_s: float = 10) -> Service:
    async def ready() -> bool:
        return (folder / "pids").exists()

    return Service(
        "thing",
        lambda: [sys.executable, "-c", program],
        log_path=folder / "thing.log",
        ready=ready,
        ready_timeout_s=ready_timeout_s,
        cwd=folder,
    )


def _pids(folder: Path) -> list[int]:
    return [int(word) for word in (folder / "pids").read_text().split()]


async def test_what_dies_comes_back_and_its_orphans_do_not_stay(tmp_path: Path) -> None:
    service = _service(tmp_path, _FAMILY)
    await service.start()
    try:
        parent, orphan = _pids(tmp_path)
        os.kill(parent, signal.SIGKILL)
        await reached(lambda: _pids(tmp_path)[0] != parent)
        assert not is_alive(orphan), "it would hold the port"
    finally:
        parent, spawned = _pids(tmp_path)
        await service.stop(5)
    assert not is_alive(parent)
    await reached(lambda: not is_alive(spawned))


async def test_one_that_ends_while_starting_is_explained_with_its_last_words(tmp_path: Path) -> None:
    service = _service(tmp_path, "import sys; sys.exit('no such port')")
    with pytest.raises(StartError, match="thing ended with exit code 1: no such port"):
        await service.start()
    await service.kill()


async def test_one_that_never_gets_ready_is_explained_with_its_log(tmp_path: Path) -> None:
    service = _service(tmp_path, "import time; time.sleep(60)", ready_timeout_s=0.3)
    with pytest.raises(StartError, match=r"thing did not answer within 0\.3 s. See .*thing\.log"):
        await service.start()
    await service.kill()


async def test_the_environment_of_a_foreign_program_has_no_keys(tmp_path: Path) -> None:
    (tmp_path / "pids").touch()
    service = _service(tmp_path, "import os, time; print(*os.environ, flush=True); time.sleep(60)")
    await service.start()
    await reached((tmp_path / "thing.log").read_text)
    await service.kill()
    assert "PYTEST_CURRENT_TEST" in os.environ, "there is something to leave out"
    # LC_CTYPE is Python's own doing (PEP 538).
    allowed = {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH"}
    assert set((tmp_path / "thing.log").read_text().split()) <= allowed


def test_only_repeated_crashes_are_waited_out_and_never_long() -> None:
    loop = CrashLoop()
    assert [loop.pause_s(0.1) for _ in range(8)] == [0, 0.25, 0.5, 1, 2, 4, 5, 5]
    assert loop.pause_s(60) == 0, "who lived long was in no crash loop"
    assert loop.pause_s(0.1) == 0


def test_an_end_is_told_in_words() -> None:
    assert [describe_exit(code) for code in (3, -9, -200)] == ["exit code 3", "signal SIGKILL", "signal 200"]

"""The test harness itself can fail: skips, leaks, deadlines and children."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.processes import REPOSITORY, RunningProcess, free_ports, is_alive, wait_until
from tests.scale import scaled

pytestmark = pytest.mark.slow


def run_pytest(directory: Path, source: str, ci: bool) -> str:
    """pytest's output over one test file that uses this repository's conftest."""
    (directory / "conftest.py").write_text("from tests.conftest import *\n")
    (directory / "test_it.py").write_text("import asyncio\nimport pytest\n" + source)
    options = ["-c", str(REPOSITORY / "pyproject.toml"), f"--rootdir={directory}", "-p", "no:cacheprovider", "-q"]
    env = {"CI": "true" if ci else "", "PYTHONPATH": str(REPOSITORY)}
    with RunningProcess([sys.executable, "-m", "pytest", *options, str(directory)], env=env, cwd=REPOSITORY) as process:
        process.wait(60)
        return process.output


NEEDS = "@pytest.mark.needs('no-such-program')\ndef test_it():\n    pass\n"


@pytest.mark.parametrize(("ci", "verdict"), [(False, "1 skipped"), (True, "1 failed")])
def test_a_missing_program_skips_outside_ci_and_fails_in_it(tmp_path: Path, ci: bool, verdict: str) -> None:
    output = run_pytest(tmp_path, NEEDS, ci)
    assert verdict in output or (ci and "1 error" in output), output
    assert "no-such-program" in output


def test_a_program_that_is_there_does_not_skip(tmp_path: Path) -> None:
    assert "1 passed" in run_pytest(tmp_path, NEEDS.replace("no-such-program", "sh"), ci=True)


def test_any_other_skip_is_a_failure(tmp_path: Path) -> None:
    assert "1 failed" in run_pytest(tmp_path, "def test_it():\n    pytest.skip('no mood')\n", ci=False)


def test_a_skipped_module_is_a_failure(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "pytest.skip('no mood', allow_module_level=True)\n", ci=False)
    assert "1 error" in output, output


def test_a_task_left_behind_fails_its_test(tmp_path: Path) -> None:
    leak = "@pytest.mark.usefixtures('no_task_left')\nasync def test_it():\n    global t\n"
    clean = run_pytest(tmp_path, leak + "    t = await asyncio.create_task(asyncio.sleep(0))\n", ci=False)
    assert "1 passed" in clean, clean
    assert "error" not in clean
    leaky = run_pytest(tmp_path, leak + "    t = asyncio.create_task(asyncio.sleep(60))\n", ci=False)
    assert "tasks left behind" in leaky, leaky


def test_waiting_ends_at_its_deadline() -> None:
    with pytest.raises(AssertionError, match="the moon did not happen"):
        wait_until(lambda: False, 0.02, "the moon")


def test_a_child_is_killed_with_its_group_at_the_end_of_its_block() -> None:
    code = "import subprocess, time; p = subprocess.Popen(['sleep', '60']); print('grandchild', p.pid); time.sleep(60)"
    with RunningProcess.python("-c", code) as process:
        grandchild = int(process.wait_for_line(r"grandchild (\d+)")[1])
        assert is_alive(grandchild)
    wait_until(lambda: not is_alive(grandchild) and not is_alive(process.pid))


def test_a_child_that_ends_early_fails_the_wait_with_its_output() -> None:
    with RunningProcess.python("-c", "print('oh no')") as process, pytest.raises(AssertionError, match="oh no"):
        process.wait_for_line("ready")


def test_a_child_that_ignores_its_signal_is_reported_and_killed() -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready'); time.sleep(60)"
    with RunningProcess.python("-c", code) as process:
        process.wait_for_line("ready")
        with pytest.raises(AssertionError, match="still runs"):
            process.stop(deadline_s=0.1)
        assert process.exit_code == -signal.SIGKILL


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


def test_counts_follow_the_scale_but_keep_their_minimum() -> None:
    assert scaled(1000) == round(1000 * float(os.environ.get("SCALE", "0.1")))
    assert scaled(1, minimum=5) >= 5

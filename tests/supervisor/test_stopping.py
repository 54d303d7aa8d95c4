"""How it ends: in peace, at once, or by force, and that nothing is left."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.supervisor.supervised import Supervised, all_gone, descendants, kill


def test_sigterm_waits_for_calls_under_way_and_exits_with_zero(tmp_path: Path) -> None:
    with Supervised(tmp_path, "busy") as it:
        it.serving()
        it.process.send(signal.SIGTERM)
        it.process.wait_for_line("SIGTERM: Stopping")
        assert it.process.exit_code is None
        (it.state / "run" / "release").touch()
        assert it.process.wait() == 0
        assert "Traceback" not in it.process.output


def test_ctrl_c_in_a_terminal_reaches_the_supervisor_alone(tmp_path: Path) -> None:
    with Supervised(tmp_path, "busy") as it:
        it.serving()
        workers = descendants(it.process.pid)
        it.process.interrupt()
        it.process.wait_for_line("SIGINT: Stopping")
        assert sorted(descendants(it.process.pid)) == sorted(workers), "children are in process groups of their own"
        (it.state / "run" / "release").touch()
        assert it.process.wait() == 0


def test_calls_that_outlast_the_grace_do_not_hold_it_up(tmp_path: Path) -> None:
    with Supervised(tmp_path, "busy", grace_s=0.3) as it:
        it.serving()
        assert it.process.stop() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_ends_all_at_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with Supervised(tmp_path, "busy", grace_s=60) as it:
        it.serving()
        workers = descendants(it.process.pid)
        it.process.send(signal.SIGTERM)
        it.process.wait_for_line("Stopping. Calls")
        it.process.send(number)
        assert it.process.wait(3) == code
        all_gone(workers, 10)
        assert not (it.state / "run").exists()


def test_nothing_outlives_a_killed_supervisor_by_five_seconds(tmp_path: Path) -> None:
    with Supervised(tmp_path, "busy") as it:
        it.serving()
        workers = descendants(it.process.pid)
        assert len(workers) == 2
        kill(it.process.pid)
        all_gone(workers, 5)


def test_the_next_start_is_not_hindered_by_what_a_killed_one_left(tmp_path: Path) -> None:
    with Supervised(tmp_path) as first:
        first.serving()
        kill(first.process.pid)
        first.process.wait()
    with Supervised(tmp_path) as second:
        second.serving()
        assert second.answers("w0.sock")
        assert second.process.stop() == 0

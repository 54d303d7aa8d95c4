"""Workers come up, come back, change without a gap, and go: seen on the sockets that the front connects to."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.supervisor.supervised import Supervised, all_gone, descendants, kill


def test_each_position_has_a_worker_behind_its_symlinks_and_the_local_grpc_socket_is_the_first(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        first, second = it.reply("w0.sock"), it.reply("w1.sock")
        assert {first.slot, second.slot} == {0, 1}
        assert it.reply("s0.sock") == it.reply("grpc.sock") == first
        assert it.metric("sidecar_workers_up") == 2


def test_a_killed_worker_is_soon_back_and_the_log_says_why_it_died(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        before, other = it.reply("w0.sock"), it.reply("w1.sock")
        kill(before.pid)
        wait_until(lambda: it.answers("w0.sock", but=before.pid), 20)
        assert it.reply("w0.sock").slot == before.slot, "a dead worker's slot, and so its metric files, are used again"
        assert it.reply("w1.sock") == other
        it.process.wait_for_line(rf"Worker 0 \(pid {before.pid}\) died with signal SIGKILL")
        assert it.metric("sidecar_worker_restarts_total") == 1
        assert not list((it.state / "run").glob(f"*-{before.pid}.sock")), "sockets of the dead are removed"


def test_a_crash_loop_is_slowed_down_but_never_given_up(tmp_path: Path) -> None:
    with Supervised(tmp_path, "crash") as it:
        it.process.wait_for_line(r"(?s)(died with exit code 3.*){6}", 15)
        it.write("calm")
        wait_until(lambda: it.answers("w0.sock") and it.answers("w1.sock"), 15)


def test_a_worker_that_cannot_serve_is_one_line_and_nothing_stays_behind(tmp_path: Path) -> None:
    with Supervised(tmp_path, "fail") as it:
        assert it.process.wait() == 1
        assert "sidecar: A worker cannot do what the test forbids.\n" in it.process.output
        assert "Traceback" not in it.process.output
        assert not (it.state / "run").exists()


def test_a_rolling_restart_swaps_each_symlink_while_the_old_worker_finishes(tmp_path: Path) -> None:
    with Supervised(tmp_path, "busy") as it:
        it.serving()
        old = [it.reply("w0.sock"), it.reply("w1.sock")]
        it.process.send(signal.SIGUSR2)
        it.process.wait_for_line("Rolling restart: 2 new workers are serving")
        new = [it.reply("w0.sock"), it.reply("w1.sock")]
        assert not {worker.pid for worker in old} & {worker.pid for worker in new}
        assert {worker.slot for worker in new} == {2, 3}, "slots of the living are not shared"
        assert set(descendants(it.process.pid)) == {worker.pid for worker in old + new}, "the old ones still drain"
        (it.state / "run" / "release").touch()
        all_gone([worker.pid for worker in old], 5)
        assert it.metric("sidecar_worker_restarts_total") == 0, "only the dead count"


def test_no_connection_fails_during_rolling_restarts(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        for count in range(1, 4):
            it.process.send(signal.SIGUSR2)
            while it.process.output.count("2 new workers are serving") < count:
                assert it.reply("w0.sock"), "raises when nobody answers"


def test_a_changed_config_reaches_every_worker_and_a_broken_one_none(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        before = it.reply("w0.sock")
        it.write("other")
        wait_until(lambda: it.reply("w0.sock").hash == it.reply("w1.sock").hash != before.hash)
        assert it.reply("w0.sock").pid == before.pid
        now = it.reply("w0.sock").hash
        wait_until(lambda: it.metric('sidecar_config_reloads_total{result="success"}') == 1)
        assert it.metric(f'sidecar_config_info{{hash="{now}"}}') == 1
        it.config.write_text("routes:\n  - nmae: x\n")
        it.process.wait_for_line(r"config\.yaml:2: .*nmae")
        it.process.wait_for_line("the old one stays")
        wait_until(lambda: it.metric('sidecar_config_reloads_total{result="failure"}') == 1)
        assert it.reply("w0.sock").hash == it.reply("w1.sock").hash == now
        kill(it.reply("w1.sock").pid)
        wait_until(lambda: it.answers("w1.sock"))
        assert it.reply("w1.sock").hash == now, "a new worker gets the last good configuration"


def test_sighup_reads_the_config_again(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        it.process.send(signal.SIGHUP)
        wait_until(lambda: it.metric('sidecar_config_reloads_total{result="success"}') == 1)


@pytest.mark.slow
def test_a_worker_that_does_not_take_a_config_is_replaced(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        before = it.reply("w0.sock")
        it.write("mute")
        it.process.wait_for_line("did not confirm the new configuration within 10 s. Replacing it", 15)
        wait_until(lambda: it.answers("w0.sock", but=before.pid))

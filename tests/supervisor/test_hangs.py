"""Workers that hang: seen by their silence, said with what they do, out of the way at once, replaced."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import grpc
import pytest

from sidecar.supervisor.start.announcement import read_env
from sidecar.v1 import routes_pb2, routes_pb2_grpc
from tests.processes import is_alive, wait_until
from tests.supervisor.supervised import Supervised, all_gone

HANG_S = 1.0
# A tenth of it is how often the supervisor looks; the rest is a busy machine's.
WITHIN_S = 10 * HANG_S + 10


def _replaced(it: Supervised, pid: int) -> None:
    wait_until(lambda: it.answers("w0.sock", but=pid), WITHIN_S)
    wait_until(lambda: it.metric("sidecar_workers_up") == 2, WITHIN_S)
    all_gone([pid], WITHIN_S)
    assert it.metric("sidecar_worker_hangs_total") == 1
    assert it.metric("sidecar_worker_restarts_total") == 1


def test_a_stopped_worker_is_replaced_and_the_log_says_that_it_was_stopped(tmp_path: Path) -> None:
    with Supervised(tmp_path, hang_s=HANG_S) as it:
        it.serving()
        worker, other = it.reply("w0.sock"), it.reply("w1.sock")
        os.kill(worker.pid, signal.SIGSTOP)
        _replaced(it, worker.pid)
        it.process.wait_for_line(
            rf"Worker 0 \(pid {worker.pid}\) hangs: no sign of life for \d+\.\d s\. Replacing it: "
            r"it is stopped \(SIGSTOP\), so its stack cannot be seen\.$"
        )
        assert it.reply("w1.sock") == other


def test_a_spinning_worker_is_replaced_and_the_log_has_its_stack(tmp_path: Path) -> None:
    with Supervised(tmp_path, hang_s=HANG_S) as it:
        it.serving()
        worker = it.reply("w0.sock")
        it.write("spin")
        it.process.wait_for_line(r"hangs: no sign of life for .*: it is running; its stack:", WITHIN_S)
        it.process.wait_for_line(r'File ".*/double\.py", line \d+ in spin$')
        it.write("calm")
        wait_until(lambda: it.answers("w0.sock", but=worker.pid), WITHIN_S)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGUSR2], ids=["stopped", "spinning"])
def test_calls_on_the_local_port_are_answered_again_once_a_real_worker_that_hangs_is_replaced(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Supervised(tmp_path, hang_s=HANG_S, worker="spinning") as it:
        it.process.wait_for_line("^Sidecar is running", 30)
        pid = int(it.process.wait_for_line(r"Worker 0 \(pid (\d+)\) is serving")[1])
        os.kill(pid, number)
        all_gone([pid], WITHIN_S)
        wait_until(lambda: it.process.output.count("Worker 0 ") >= 3 and it.metric("sidecar_workers_up") == 2, 30)
        target = read_env(it.state / "env")["SIDECAR_GRPC_LOCAL"]
        for _ in range(8):  # each a channel of its own: the kernel spreads them over the workers
            with grpc.insecure_channel(target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                routes_pb2_grpc.RouteServiceStub(channel).ListRoutes(routes_pb2.ListRoutesRequest(), timeout=10)
        if number == signal.SIGUSR2:
            assert "in spin" in it.process.output


def test_the_front_is_led_past_a_worker_that_hangs_before_another_one_serves(tmp_path: Path) -> None:
    with Supervised(tmp_path, hang_s=HANG_S) as it:
        it.serving()
        worker, other = it.reply("w0.sock"), it.reply("w1.sock")
        it.write("fail")  # no further worker can start
        wait_until(lambda: it.reply("w0.sock").hash != worker.hash)
        os.kill(worker.pid, signal.SIGSTOP)
        it.process.wait_for_line("hangs: ", WITHIN_S)
        wait_until(lambda: it.answers("w0.sock", but=worker.pid), WITHIN_S)
        assert it.reply("w0.sock").pid == it.reply("grpc.sock").pid == other.pid
        assert it.metric("sidecar_workers_up") == 1
        it.write("calm")
        wait_until(lambda: it.metric("sidecar_workers_up") == 2, WITHIN_S)
        assert it.reply("w0.sock").pid != other.pid


def test_a_worker_that_hangs_while_it_drains_is_not_waited_for_until_its_grace_ends(tmp_path: Path) -> None:
    with Supervised(tmp_path, "stuck", hang_s=HANG_S, grace_s=300) as it:
        it.serving()
        worker = it.reply("w0.sock")
        assert it.process.stop(deadline_s=2 * WITHIN_S) == 0
        assert re.search(rf"pid {worker.pid}\) hangs: .*\. Killing it: it is running; its stack:", it.process.output)
        assert not is_alive(worker.pid)


def test_a_machine_that_slept_blames_no_worker(tmp_path: Path) -> None:
    """As a frozen group sees it: all are stopped, and go on one after the other."""
    with Supervised(tmp_path, hang_s=3 * HANG_S) as it:
        it.serving()
        workers = [it.reply("w0.sock"), it.reply("w1.sock")]
        pids = [worker.pid for worker in workers]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        threading.Event().wait(0.3)  # the supervisor has read all that they said
        it.process.send(signal.SIGSTOP)
        threading.Event().wait(4.5 * HANG_S)
        it.process.send(signal.SIGCONT)
        threading.Event().wait(0.3)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        it.write("other")
        wait_until(lambda: it.reply("w0.sock").hash == it.reply("w1.sock").hash != workers[0].hash)
        assert [it.reply("w0.sock").pid, it.reply("w1.sock").pid] == pids
        assert it.metric("sidecar_worker_hangs_total") == 0


def test_workers_serve_while_their_supervisor_hangs_and_are_kept_when_it_goes_on(tmp_path: Path) -> None:
    with Supervised(tmp_path, hang_s=HANG_S) as it:
        it.serving()
        worker = it.reply("w0.sock")
        it.process.send(signal.SIGSTOP)
        threading.Event().wait(2 * HANG_S)
        assert it.reply("w0.sock") == worker
        it.process.send(signal.SIGCONT)
        assert it.metric("sidecar_worker_hangs_total") == 0
        assert it.reply("w0.sock") == worker


def test_a_loop_that_was_held_for_more_than_a_second_is_a_metric_and_one_line(tmp_path: Path) -> None:
    with Supervised(tmp_path) as it:
        it.serving()
        assert it.metric('sidecar_worker_loop_held_seconds_total{worker="1"}') == 0
        it.write("hold")
        it.process.wait_for_line(
            r"Worker 1 \(pid \d+\): its event loop was blocked for \d+\.\d s \(\d+\.\d s on the CPU\)"
        )
        wait_until(lambda: it.metric('sidecar_worker_loop_held_seconds_total{worker="1"}') >= 1)
        assert it.metric("sidecar_worker_hangs_total") == 0

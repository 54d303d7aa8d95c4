"""The log of the gateway: bounded, whole through every rotation, and never in anybody's way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from sidecar.supervisor.log_files import KEPT, LogFiles
from sidecar.supervisor.start.announcement import read_env
from sidecar.v1 import inference_pb2_grpc
from tests.cli.running import CORE_PORTS, SERVING_S, config_for, sidecar
from tests.processes import REPOSITORY, is_alive, wait_until
from tests.provider import Provider
from tests.stack.load import chat_request

pytestmark = pytest.mark.slow
# Some 55 calls.
LOG_BYTES = 16 * 1024


class Detached:
    """`sidecar serve --detach` with a small log."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        config = folder / "config.yaml"
        config.write_text(config_for(provider.base_url))
        self.state = folder / "state"
        self.log = self.state / "logs" / "sidecar.log"
        mib = str(LOG_BYTES / 1024 / 1024)
        options = ("--state-dir", str(self.state), "--config-path", str(config), *CORE_PORTS, "--log-mib", mib)
        done = sidecar("serve", "--detach", *options)
        assert done.returncode == 0, done.stderr
        self.pid = int((self.state / "lock").read_text())
        channel = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [
            grpc.insecure_channel(read_env(self.state / "env")["SIDECAR_GRPC_LOCAL"], channel) for _ in range(6)
        ]
        self.sent = 0

    def ask(self, calls: int) -> None:
        for _ in range(calls):
            self.sent += 1
            stub = inference_pb2_grpc.InferenceServiceStub(self._channels[self.sent % len(self._channels)])
            stub.Chat(chat_request(route="chat"), metadata=(("x-request-id", f"number-{self.sent:06}"),), timeout=30)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
        os.kill(self.pid, signal.SIGTERM)
        wait_until(lambda: not is_alive(self.pid), 30)


@pytest.fixture
def detached(tmp_path: Path, provider: Provider) -> Iterator[Detached]:
    it = Detached(tmp_path, provider)
    yield it
    it.close()


def _numbers(*files: Path) -> list[int]:
    """Of the calls that the files have lines of."""
    lines = "".join(file.read_text() for file in files).splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return sorted(int(line["request_id"].removeprefix("number-")) for line in found)


def test_the_log_of_a_detached_gateway_is_bounded_and_loses_no_line_in_between(detached: Detached) -> None:
    logs = detached.log.parent

    def files() -> list[Path]:
        return sorted(logs.glob("sidecar.log*"))

    for number in range(1, KEPT + 1):  # the bound, again and again
        detached.ask(80)
        wait_until(lambda: len(files()) == number + 1, 20, f"rotation {number}")  # noqa: B023
    wait_until(lambda: _numbers(*files()) == list(range(1, detached.sent + 1)), 20, "each call has one line")
    for _ in range(2):
        fifth = logs / f"sidecar.log.{KEPT}"
        before = fifth.stat().st_ino
        detached.ask(80)
        wait_until(lambda: fifth.stat().st_ino != before, 20)  # noqa: B023
    wait_until(lambda: len(files()) == KEPT + 1 and _numbers(*files())[-1] == detached.sent, 20, "the newest are kept")
    found = _numbers(*files())
    assert found == list(range(found[0], detached.sent + 1)), "and all of them"
    assert found[0] > 1, "the oldest are gone"
    assert {file.stat().st_mode & 0o777 for file in files()} == {0o600}


def test_a_log_that_is_moved_away_goes_on_in_a_new_file_in_every_process(detached: Detached) -> None:
    """logrotate, with or without its signal."""
    detached.ask(6)
    moved = detached.log.with_name("moved-by-logrotate")
    wait_until(lambda: _numbers(detached.log) == list(range(1, 7)))
    detached.log.rename(moved)
    os.kill(detached.pid, signal.SIGHUP)
    processes = [detached.pid, *_processes(detached.pid)]
    assert len(processes) == 3, "the supervisor and two workers"

    def moved_on() -> bool:
        return all(os.path.realpath(f"/proc/{pid}/fd/2") == str(detached.log.resolve()) for pid in processes)

    wait_until(moved_on)
    size = moved.stat().st_size
    detached.ask(6)
    wait_until(lambda: _numbers(detached.log) == list(range(7, 13)))
    assert moved.stat().st_size == size


def _processes(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]


def test_the_log_of_a_program_that_holds_its_file_open_is_copied_and_cut_off(tmp_path: Path) -> None:
    with (tmp_path / "nginx.log").open("ab", buffering=0) as log:
        files = LogFiles(tmp_path, None, 1000)
        for number in range(KEPT + 2):
            log.write(b"x" * 999)
            files.bound()
            assert (tmp_path / "nginx.log").stat().st_size == 999, "not yet"
            log.write(b"%d" % number)
            files.bound()
            assert (tmp_path / "nginx.log").stat().st_size == 0
    numbers = {path.name: path.read_text()[-1] for path in tmp_path.glob("nginx.log.*")}
    assert numbers == {"nginx.log.1": "5", "nginx.log.2": "4", "nginx.log.3": "3", "nginx.log.4": "2"}


def test_a_pipe_that_nobody_reads_stops_neither_calls_nor_the_supervisor(tmp_path: Path, provider: Provider) -> None:
    """Standard error of all processes, full: calls go on, a config that is refused (and logged) is refused, and it ends."""
    config = tmp_path / "config.yaml"
    config.write_text(config_for(provider.base_url))
    state = tmp_path / "state"
    options = ("--state-dir", str(state), "--config-path", str(config), *CORE_PORTS, "--access-log", "json")
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    command = [sys.executable, "-m", "sidecar", "serve", *options]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=write, text=True) as process:
        os.close(write)
        try:
            assert process.stdout is not None
            serving = threading.Thread(target=process.stdout.readline)
            serving.start()
            serving.join(SERVING_S)
            env = read_env(state / "env")
            with grpc.insecure_channel(env["SIDECAR_GRPC_LOCAL"]) as channel:
                stub = inference_pb2_grpc.InferenceServiceStub(channel)
                for _ in range(200):
                    stub.Chat(chat_request(route="chat"), timeout=30)
            for _ in range(3):
                config.write_text("nonsense: true\n")
                os.kill(process.pid, signal.SIGHUP)
                wait_until(lambda: _failures(env["SIDECAR_METRICS"]) > 0, 20)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(read)


def _failures(url: str) -> float:
    import urllib.request

    with urllib.request.urlopen(url, timeout=5) as page:
        found = re.search(r'^sidecar_config_reloads_total{result="failure"} (\S+)$', page.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0

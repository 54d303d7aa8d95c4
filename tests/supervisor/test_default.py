"""`sidecar up` with nothing said: the packaged config, the embedded model, a first chat through Nginx."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.supervisor.start.announcement import read_env
from tests.cli.running import FRONT_PORTS, sidecar
from tests.processes import RunningProcess, command_line, wait_until
from tests.supervisor.supervised import all_gone, descendants

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# The first run on a machine fetches 93 MB.
_FIRST_RUN_S = 600.0


@pytest.fixture
def up(tmp_path: Path) -> Iterator[RunningProcess]:
    with RunningProcess.python("-m", "sidecar", "up", "--state-dir", str(tmp_path / "state"), *FRONT_PORTS) as process:
        process.wait_for_line("^Sidecar is running", _FIRST_RUN_S)
        yield process


def _model_server(up: RunningProcess) -> list[int]:
    return [pid for pid in descendants(up.pid) if "sidecar.local" in command_line(pid)]


def test_the_first_chat_was_answered_and_the_examples_work_as_printed(up: RunningProcess, tmp_path: Path) -> None:
    assert re.search(r"first chat +['\"].+['\"]", up.output)
    assert stat.S_IMODE((tmp_path / "state" / "config.yaml").stat().st_mode) == 0o600
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, **read_env(tmp_path / "state" / "env"), "PATH": path}
    examples = re.split(r"\n\n", up.output.partition("try it:")[2])[1:4]
    assert [example.split()[0] for example in examples][:2] == ["curl", "#"]
    for example in examples:
        done = subprocess.run(example, shell=True, env=env, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, example + done.stderr
        assert done.stdout.strip()
        assert '"error"' not in done.stdout


_CLOSED = """
routes:
  - {name: chat, route_type: llm/v1/chat, model: {provider: local, name: smollm2}}
consumers:
  - {name: team, users: [alice], allow: [chat]}
"""


def test_it_starts_where_its_own_user_may_call_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(_CLOSED)
    config, state = str(tmp_path / "config.yaml"), str(tmp_path / "state")
    with RunningProcess.python(
        "-m", "sidecar", "up", "--config-path", config, "--state-dir", state, *FRONT_PORTS
    ) as process:
        process.wait_for_line("^Sidecar is running", _FIRST_RUN_S)
        assert "first chat" not in process.output


def test_a_killed_model_server_comes_back_and_a_killed_supervisor_takes_it_along(
    up: RunningProcess, tmp_path: Path
) -> None:
    (first,) = _model_server(up)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: [pid for pid in _model_server(up) if pid != first])
    state = ("--state-dir", str(tmp_path / "state"))
    wait_until(lambda: sidecar("chat", "chat", "Hi", "--max-tokens", "3", *state).returncode == 0, 20)
    pids = descendants(up.pid)
    assert len(pids) == 5, "two workers, the model, Nginx and its worker"
    up.send(signal.SIGKILL)
    all_gone(pids, 5)

"""A stranger with Python, make and git: clone, `make up`, a first request, `make down`. HOME is empty, the folder too."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from sidecar.local import ensure_model
from tests.processes import REPOSITORY, free_ports, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.needs("git"), pytest.mark.needs("make")]
INSTALL_S = 500.0  # a quarter of a gigabyte, from wherever pip gets it
# The second start installs and fetches nothing. A busy machine may be slow, an installation would be slower.
AGAIN_S = 30.0
# What a run of the tests leaves in its environment, and a newcomer's shell does not have.
FOREIGN = ("SIDECAR", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS", "ARGS", "DETACH", "SCALE", "COV", "PYTEST", "GIT_")
NAMES = {"URL", "USER", "PASSWORD", "API_KEY", "CA", "GRPC", "GRPC_LOCAL", "METRICS"}


class Newcomer:
    """A clone in `folder` and somebody who types into a shell there."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "gateway"
        home = folder / "home"
        home.mkdir()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        # The model is cached beside the other tests', to spare the registry: fetching it has tests of its own.
        self.env = {**kept, "HOME": str(home), "SIDECAR_MODEL_DIR": str(ensure_model(show=False).parent)}
        port, grpc, metrics = free_ports(3)
        self.port = port
        self.ports = f'ARGS="--port {port} --grpc 127.0.0.1:{grpc} --metrics 127.0.0.1:{metrics}"'
        # In a container the checkout may belong to somebody else, which git would refuse.
        trusting = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        command = ["git", "clone", "--quiet", str(REPOSITORY), str(self.clone)]
        subprocess.run(command, env={**self.env, **trusting}, check=True, timeout=60)

    def types(self, line: str, within_s: float = AGAIN_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.clone,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        """Whatever runs from the clone or in it."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.clone) in " ".join([process.cwd(), *process.cmdline()]):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def sourced(self) -> dict[str, str]:
        """What `. .sidecar/env` adds to the shell."""
        lines = self.types(". .sidecar/env && env").stdout.splitlines()
        pairs = [line.removeprefix("SIDECAR_").partition("=")[::2] for line in lines if line.startswith("SIDECAR_")]
        return {name: value for name, value in pairs if name in NAMES}


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    made = Newcomer(tmp_path_factory.mktemp("new"))
    try:
        yield made
    finally:
        for process in made.processes():
            process.kill()


def test_two_commands_serve_and_the_examples_say_how(newcomer: Newcomer) -> None:
    first = newcomer.types(f"make up DETACH=1 {newcomer.ports}", INSTALL_S)
    assert first.returncode == 0, first.stdout + first.stderr
    env = newcomer.sourced()
    assert env.keys() == NAMES
    for expected in (env["URL"], env["GRPC_LOCAL"], env["METRICS"], env["USER"], "curl --cacert", "OpenAI()", "grpc"):
        assert expected in first.stdout
    assert chats(env)
    printed = first.stdout.partition("curl --cacert")[1:]
    curl = "".join(printed).partition("\n\n")[0]
    shown = newcomer.types(f". .sidecar/env\n{curl}")
    assert '"chat.completion"' in shown.stdout or "curl: not found" in shown.stderr, shown.stderr

    again = newcomer.types(f"make up DETACH=1 {newcomer.ports}")
    assert again.returncode != 0
    assert "in use by a running gateway" in again.stderr
    assert chats(env), "the first goes on"

    assert newcomer.types("make down").stdout.endswith("Stopped.\n")
    wait_until(lambda: not newcomer.processes(), what="the end of every process")

    begun_s = time.monotonic()
    second = newcomer.types(f"make up DETACH=1 {newcomer.ports}")
    assert second.returncode == 0, second.stderr
    assert time.monotonic() - begun_s < AGAIN_S
    assert "installing" not in second.stdout
    assert newcomer.sourced() == env, "the same user, the same CA"
    assert chats(env)
    assert newcomer.types("make down").returncode == 0
    wait_until(lambda: not newcomer.processes(), what="the end of every process")


def test_a_port_in_use_is_one_line_and_nothing_is_left(newcomer: Newcomer) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", newcomer.port))
        holder.listen()
        for detach in ("DETACH=1", ""):
            done = newcomer.types(f"make up {detach} {newcomer.ports}", INSTALL_S)
            assert done.returncode != 0
            # make has a line of its own to add.
            lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
            assert len(lines) == 1, done.stderr
            assert lines[0].startswith("sidecar: ")
            assert str(newcomer.port) in lines[0]
            assert not newcomer.processes()


def test_a_missing_file_and_a_file_in_the_way_are_one_line_each(newcomer: Newcomer) -> None:
    (newcomer.clone / "occupied").write_text("not a directory")
    for arguments, expected in (
        ("--config-path nowhere.yaml", "nowhere.yaml"),
        ("--state-dir occupied", "occupied"),
    ):
        done = newcomer.types(f'make up ARGS="--port 0 --grpc 127.0.0.1:0 --metrics off {arguments}"', INSTALL_S)
        assert done.returncode != 0
        lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
        assert len(lines) == 1, done.stderr
        assert expected in lines[0]
        assert not newcomer.processes()


def chats(env: dict[str, str]) -> str:
    """The answer to a first chat."""
    trust = ssl.create_default_context(cafile=env["CA"])
    with httpx.Client(verify=trust, trust_env=False, timeout=60) as http:
        answer = http.post(
            f"{env['URL']}/v1/chat/completions",
            headers={"authorization": f"Bearer {env['API_KEY']}"},
            json={"model": "chat", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8},
        )
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["choices"][0]["message"]["content"]
    return text

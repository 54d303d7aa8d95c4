"""`sidecar` as an operator runs it: a process, its output, its state directory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sidecar.supervisor.start.announcement import read_env
from tests.processes import REPOSITORY, RunningProcess

# Any free ports, so that tests do not meet each other or a gateway that runs on this machine.
CORE_PORTS = ("--grpc", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
FRONT_PORTS = ("--port", "0", *CORE_PORTS)
_COMMAND_TIMEOUT_S = 60.0
SERVING_S = 60.0


def sidecar(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_COMMAND_TIMEOUT_S,
        cwd=REPOSITORY,
        check=False,
    )


class Running:
    """`sidecar COMMAND` on a state directory and a config below `folder`, until the `with` block ends."""

    def __init__(self, command: str, folder: Path, config: str, *arguments: str) -> None:
        self.state = folder / "state"
        self.config = folder / "config.yaml"
        self.config.write_text(config)
        ports = CORE_PORTS if command == "serve" else FRONT_PORTS
        options = ("--state-dir", str(self.state), "--config-path", str(self.config), *ports, *arguments)
        self.process = RunningProcess.python("-m", "sidecar", command, *options)

    def __enter__(self) -> Running:
        self.process.wait_for_line("^Sidecar is running", SERVING_S)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    @property
    def env(self) -> dict[str, str]:
        return read_env(self.state / "env")

    def call(self, command: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Another command on the same state directory."""
        return sidecar(command, *arguments, "--state-dir", str(self.state), stdin=stdin)


def config_for(base_url: str) -> str:
    """Three routes on a provider simulator."""
    lines = ["routes:"]
    for task in ("chat", "completions", "embeddings"):
        lines += [
            f"  - name: {task}",
            f"    route_type: llm/v1/{task}",
            f"    model: {{provider: openai-compatible, name: sim-{task}, config: {{base_url: {base_url}}}}}",
        ]
    return "\n".join(lines) + "\n"

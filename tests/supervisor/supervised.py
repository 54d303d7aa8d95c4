"""A running supervisor as the tests see it: its process, its sockets, its metrics."""

from __future__ import annotations

import os
import re
import socket
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.processes import RunningProcess, is_alive, wait_until

CONFIG = """\
routes:
  - name: {name}
    route_type: llm/v1/chat
    model:
      provider: openai-compatible
      name: none
      config:
        base_url: http://127.0.0.1:9/v1
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a double says of itself."""

    pid: int
    slot: int
    hash: str


class Supervised:
    """`python -m tests.supervisor.supervise` on a state directory below `folder`, with one route; None: with the
    config that is there. `options` are its own."""

    def __init__(self, folder: Path, route: str | None = "calm", **options: object) -> None:
        self.state = folder / "state"
        self.config = folder / "config.yaml"
        if route is not None:
            self.write(route)
        words = [f"{name}={value}" for name, value in options.items()]
        self.process = RunningProcess.python(
            "-m", "tests.supervisor.supervise", str(self.state), str(self.config), *words
        )

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()

    def write(self, route: str) -> None:
        """Another config, put in place at once."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(CONFIG.format(name=route))
        fresh.replace(self.config)

    def serving(self) -> Supervised:
        self.process.wait_for_line("^Sidecar is running")
        return self

    def reply(self, name: str) -> Reply:
        """Who answers behind a symlink in run/. Raises OSError while nobody does."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(self.state / "run" / name))
            pid, slot, digest = sock.recv(1024).decode().split()
        return Reply(int(pid), int(slot), digest)

    def answers(self, name: str, *, but: int | None = None) -> bool:
        """`but`: another process than this one."""
        try:
            return self.reply(name).pid != but
        except (OSError, ValueError):
            return False

    def metric(self, name: str) -> float:
        url = self.process.wait_for_line(r"(http://\S+/metrics)").group(1)
        with urllib.request.urlopen(url, timeout=5) as page:
            found = re.search(rf"^{re.escape(name)} (\S+)$", page.read().decode(), re.MULTILINE)
        assert found, name
        return float(found.group(1))


def descendants(pid: int) -> list[int]:
    """Pids of the living children of a process, and of theirs."""
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:  # it ended just now
        return []
    for task in tasks:
        try:
            pids = Path(f"/proc/{pid}/task/{task}/children").read_text().split()
        except OSError:  # so did this thread
            continue
        for pid_text in pids:
            found += [int(pid_text), *descendants(int(pid_text))]
    return found


def all_gone(pids: list[int], within_s: float) -> None:
    """AssertionError when one of the processes lives longer."""
    wait_until(lambda: not any(map(is_alive, pids)), within_s, f"the end of {pids}")


def kill(pid: int) -> None:
    os.kill(pid, 9)

"""Free ports, conditions with deadlines, and child processes that cannot outlive their test."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sidecar.local.free_ports import free_port as another_free_port

POLL_S = 0.005
DEADLINE_S = 10.0
REPOSITORY = Path(__file__).resolve().parent.parent


def free_ports(count: int) -> list[int]:
    """Returns different TCP ports of 127.0.0.1 on which no process listens now."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[another_free_port()] = None
    return list(found)


def free_port() -> int:
    return free_ports(1)[0]


def wait_until(condition: Callable[[], object], deadline_s: float = DEADLINE_S, what: str = "the condition") -> None:
    """Returns once condition() is true. Raises AssertionError at the deadline. Async tests use `reached`."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not happen within {deadline_s} s"
        time.sleep(POLL_S)


async def reached(condition: Callable[[], object], deadline_s: float = DEADLINE_S, what: str = "the condition") -> None:
    """`wait_until` for async tests: does not block the loop."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end_s, f"{what} did not happen within {deadline_s} s"
        await asyncio.sleep(POLL_S)


def is_alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def command_line(pid: int) -> str:
    """Returns its arguments separated by spaces; "" if the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a process listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


class RunningProcess:
    """A process of the test's own, in its own process group; killed with its group when the `with` block ends.

    Both outputs are collected, interleaved, in `lines`. `env` is added to this process' environment.
    """

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.command = list(command)
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            self.command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd or REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {self.pid}", daemon=True)
        self._reader.start()

    @classmethod
    def python(cls, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Self:
        """Starts `python ARGUMENTS` with this interpreter, from the repository unless `cwd` is set."""
        return cls([sys.executable, *arguments], env=env, cwd=cwd)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it runs, -N after signal N."""
        return self._process.poll()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process only."""
        self._process.send_signal(number)

    def interrupt(self) -> None:
        """Sends SIGINT to the whole process group, as Ctrl-C in a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Returns its exit code. Raises AssertionError with its output when it does not end in time."""
        try:
            code = self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} still runs after {deadline_s} s:\n{self.output}") from None
        self._reader.join(1.0)  # grandchildren may hold the pipe longer
        return code

    def wait_for_line(self, pattern: str, deadline_s: float = DEADLINE_S) -> re.Match[str]:
        """Returns the first match of `pattern` in the output. Raises AssertionError if the process ends or times
        out before."""
        end_s = time.monotonic() + deadline_s
        while True:
            ended = self.exit_code is not None
            if ended:
                self._reader.join(1.0)
            found = re.search(pattern, self.output, re.MULTILINE)
            if found:
                return found
            assert not ended, f"{self.command} ended with {self.exit_code} without printing {pattern!r}:\n{self.output}"
            assert time.monotonic() < end_s, (
                f"{self.command} did not print {pattern!r} in {deadline_s} s:\n{self.output}"
            )
            time.sleep(POLL_S)

    def stop(self, number: signal.Signals = signal.SIGTERM, deadline_s: float = DEADLINE_S) -> int:
        """Sends a signal and returns the exit code. Raises AssertionError when it does not end in time (and kills
        it)."""
        if self.exit_code is None:
            self.send(number)
        try:
            return self.wait(deadline_s)
        finally:
            self.kill()

    def kill(self) -> None:
        """Sends SIGKILL to what is left of its group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._reader.join(
            DEADLINE_S
        )  # grandchildren in their own groups hold the pipe open until they notice that their parent has ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with (
            self._process.stdout as output
        ):  # closed only here: a pipe left open makes a later test fail with a warning
            for line in output:
                self.lines.append(line)

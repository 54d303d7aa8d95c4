"""A system of the race, and how to run a program as one: start it, wait for a chat, end it with everything it
started."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from bench.load import STREAM_END
from bench.stack import ROUTE

START_DEADLINE_S = 180.0  # interpreters that import a hundred packages on a busy machine
STOP_DEADLINE_S = 10.0
_ASK_S = 5.0
_POLL_S = 0.2
_LOG_TAIL = 3000  # characters of a program's output that an error shows


@dataclass(frozen=True, slots=True)
class Target:
    """Where the load goes, and the process whose descendants belong to the system (None: there is no system)."""

    url: str  # ends in /v1
    pid: int | None = None
    model: str = ROUTE
    api_key: str = ""
    ca_file: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    stream_end: str = STREAM_END
    grpc: str = ""  # host:port


@dataclass(frozen=True, slots=True)
class System:
    """A row of the table. `start(folder, base URL of the mock)`; `on`: what is switched on, in words."""

    name: str
    on: str
    start: Callable[[Path, str], AbstractContextManager[Target]]
    by_grpc: bool = False


class _Termination:
    """SIGTERM as SystemExit, so that systems, which run in separate sessions, are ended; delivered later while held."""

    def __init__(self) -> None:
        self._is_held = self._has_come = False

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)

    @contextmanager
    def held(self) -> Iterator[None]:
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def deliver(self) -> None:
        if self._has_come:
            sys.exit(1)

    def _on_signal(self, *_: object) -> None:
        self._has_come = True
        if not self._is_held:
            sys.exit(1)


_termination = _Termination()
end_on_sigterm = _termination.install


@contextmanager
def running(command: list[str], folder: Path, target: Target, env: dict[str, str] | None = None) -> Iterator[Target]:
    """Starts a program and waits for its first chat. Raises RuntimeError with its output if that fails.

    Of the caller's environment it only gets PATH: a proxy or a provider's key there must not affect the race.
    """
    log = folder / "output.log"
    process = None
    home = {"HOME": str(folder), "PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "DO_NOT_TRACK": "true"}
    try:
        # A SIGTERM inside Popen would lose the process that was just started.
        with log.open("w") as output, _termination.held():
            process = subprocess.Popen(
                command, cwd=folder, env={**home, **(env or {})}, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        _termination.deliver()
        end_s = time.monotonic() + START_DEADLINE_S
        while not _answers(target):
            if process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"{Path(command[0]).name} did not answer: {log.read_text()[-_LOG_TAIL:].strip()}")
            time.sleep(_POLL_S)
        yield replace(target, pid=process.pid)
    finally:
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end, then kills what is left of its session: wrappers do not forward signals."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_DEADLINE_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answers(target: Target) -> bool:
    question = {"model": target.model, "messages": [{"role": "user", "content": "ready?"}]}
    headers = dict(target.headers)
    if target.api_key:
        headers["authorization"] = f"Bearer {target.api_key}"
    trusted = ssl.create_default_context(cafile=target.ca_file or None)
    try:
        with httpx.Client(verify=trusted, timeout=_ASK_S, trust_env=False) as http:
            return http.post(f"{target.url}/chat/completions", json=question, headers=headers).status_code == 200
    except (httpx.HTTPError, OSError):
        return False

"""Detects hanging workers by missing heartbeats, and describes them from outside.

Silence only counts while the supervisor itself was running: a machine that slept, or a stopped or starved
supervisor, is not held against a worker.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

from sidecar.supervisor.processes import process

# Interval of checks as a share of the silence: a hang is detected at most a tenth late.
_LOOKS = 10
# A running process writes its stacks within milliseconds, even on a busy machine.
_STACK_WITHIN_S = 1.0
_POLL_S = 0.02
# Some forty frames for each of a dozen threads.
_STACK_BYTES_MAX = 64 * 1024
_STATES = {
    "R": "it is running",
    "S": "it is waiting",
    "D": "it is waiting for a disk",
    "T": "it is stopped (SIGSTOP)",
    "t": "it is stopped by a debugger",
}
_STOPPED = "Tt"


class Silent(Protocol):
    """A worker's last heartbeat (monotonic time; None before the first one)."""

    last_sign_s: float | None


_Silent = TypeVar("_Silent", bound=Silent)


async def watch(
    living: Callable[[], Iterable[_Silent]], hang_s: float, hangs: Callable[[_Silent, float], None]
) -> NoReturn:
    """Calls `hangs` with each worker that has been silent for `hang_s`, and the duration; repeatedly while it is
    among the living. Runs until it is cancelled."""
    pause_s = hang_s / _LOOKS
    seen_s = time.monotonic()
    while True:
        await asyncio.sleep(pause_s)
        now_s = time.monotonic()
        late_s = max(0.0, now_s - seen_s - pause_s)
        for worker in living():
            if worker.last_sign_s is None:
                continue
            worker.last_sign_s = min(now_s, worker.last_sign_s + late_s)
            if now_s - worker.last_sign_s > hang_s:
                hangs(worker, now_s - worker.last_sign_s)
        seen_s = now_s


class LogThrottle:
    """Limits logging to one line per `pause_s` and position."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._last: dict[int, tuple[float, int]] = {}

    def turn(self, position: int) -> int | None:
        """Returns how many lines were suppressed since the last one; None to suppress this one."""
        now_s = time.monotonic()
        last_s, left_out = self._last.get(position, (-self._pause_s, 0))
        if now_s - last_s < self._pause_s:
            self._last[position] = (last_s, left_out + 1)
            return None
        self._last[position] = (now_s, 0)
        return left_out


def open_stack_file() -> int | None:
    """Opens an in-memory file for a worker's stacks; None if that fails."""
    try:
        return os.memfd_create("sidecar-stack", os.MFD_CLOEXEC)
    except OSError:
        return None


async def describe(worker_process: asyncio.subprocess.Process, stack_fd: int | None) -> str:
    """Describes an unresponsive process for the log: its state, and the stacks of its threads if it can still write
    them. Takes a second at most."""
    state = _state(worker_process.pid)
    words = _STATES.get(state, f"its state is {state}")
    if state in _STOPPED:
        return f"{words}, so its stack cannot be seen."
    stack = "" if stack_fd is None else await _stack(worker_process, stack_fd)
    return f"{words}; its stack:\n{stack}" if stack else f"{words}, and did not write its stack."


def _state(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "gone"
    return stat.rpartition(")")[2].split()[0]


async def _stack(worker_process: asyncio.subprocess.Process, fd: int) -> str:
    """Returns what faulthandler writes on SIGUSR1. It is complete once it has not grown between two checks."""
    process.signal_one(worker_process, signal.SIGUSR1)
    end_s = time.monotonic() + _STACK_WITHIN_S
    sizes = [0]
    while time.monotonic() < end_s and not (sizes[-1] and sizes[-3:] == [sizes[-1]] * 3):
        await asyncio.sleep(_POLL_S)
        sizes.append(os.fstat(fd).st_size)
    return os.pread(fd, _STACK_BYTES_MAX, 0).decode("utf-8", "replace").strip()

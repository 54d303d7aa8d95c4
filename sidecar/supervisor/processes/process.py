"""Child processes: each has its own process group, and is killed by the kernel when the supervisor dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

# The environment of third-party programs: no provider keys.
_ENV_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH")
_LAUNCH = str(Path(__file__).with_name("launch.py"))


async def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    keep_fds: tuple[int, ...] = (),
    output: IO[bytes] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> asyncio.subprocess.Process:
    """Starts `command`. `output` receives its stdout and stderr; None: the supervisor's stderr.

    Must be called in the main thread: the parent-death signal is sent when the *thread* that started the process
    ends.
    """
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", _LAUNCH, str(int(death_signal)), str(os.getpid())),
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output if output is not None else sys.stderr.fileno(),
        stderr=output,
        env=dict(os.environ if env is None else env),
        cwd=cwd,
        pass_fds=keep_fds,
        process_group=0,
    )


def plain_env() -> dict[str, str]:
    """The environment for third-party programs."""
    return {name: os.environ[name] for name in _ENV_KEPT if name in os.environ}


def own_env() -> dict[str, str]:
    """The environment for our own programs run with `python -P -m`: they load this code, whatever the current
    folder is."""
    root = str(Path(__file__).parents[3])
    rest = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{rest}" if rest else root}


def signal_group(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signals the process and its descendants; does nothing if all are gone."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def signal_one(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signals only the process; does nothing if it has ended."""
    if process.returncode is None:
        try:
            process.send_signal(number)
        except ProcessLookupError:
            pass


def describe_exit(code: int) -> str:
    """`exit code 3` or `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


async def ended(process: asyncio.subprocess.Process, within_s: float) -> bool:
    """Waits for the process to end. Returns False if the time is up first."""
    try:
        async with asyncio.timeout(within_s):
            await process.wait()
    except TimeoutError:
        return False
    return True


async def in_daemon_thread(work: Callable[[], None]) -> None:
    """Like asyncio.to_thread, but exiting does not wait for it: for downloads that take minutes."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        failed: BaseException | None = None
        try:
            work()
        except BaseException as error:  # noqa: BLE001 it is re-raised in the waiting task
            failed = error
        try:
            loop.call_soon_threadsafe(finish, failed)
        except RuntimeError:  # the loop is closed, so no task is waiting
            return

    threading.Thread(target=run, name="aside", daemon=True).start()
    await done


class CrashLoop:
    """The wait before the next start: none after a single crash, longer if starts keep failing."""

    _LONG_ENOUGH_S = 10.0  # a process that lived this long was not in a crash loop
    _FIRST_PAUSE_S = 0.25
    _PAUSE_S_MAX = 5.0  # an operator who fixes the cause should not wait longer

    def __init__(self) -> None:
        self._failures = 0

    def pause_s(self, lived_s: float) -> float:
        """Returns the seconds to wait after a process lived for `lived_s` seconds."""
        self._failures = 0 if lived_s >= self._LONG_ENOUGH_S else self._failures + 1
        if self._failures <= 1:
            return 0.0
        return min(self._FIRST_PAUSE_S * 2.0 ** (self._failures - 2), self._PAUSE_S_MAX)

"""A process other than a worker (front, local model): started, awaited, restarted when it dies."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from sidecar.supervisor.processes import process
from sidecar.supervisor.processes.process import CrashLoop
from sidecar.supervisor.start.start_error import StartError

_log = logging.getLogger("sidecar")
_PROBE_PAUSE_S = 0.05
# Lines of the log that are quoted if the program does not start.
_REASON_BYTES_MAX = 400


class Service:
    """One program.

    `command` is called for each start. Output goes to `log_path`. `ready` tells whether it answers. `death_signal`
    is what it receives when the supervisor dies: SIGTERM for a master process that has to end its children. `drain`
    lets its work finish within the given seconds, before the stop signal, which may cut it.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[], Sequence[str]],
        *,
        log_path: Path,
        ready: Callable[[], Awaitable[bool]],
        ready_timeout_s: float,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
        drain: Callable[[float], Awaitable[None]] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self._command = command
        self._log_path = log_path
        self._ready = ready
        self._ready_timeout_s = ready_timeout_s
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._drain = drain
        self._env = process.plain_env() if env is None else env
        self._cwd = cwd
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Starts the program, waits until it is ready, and keeps it alive from then on. Raises StartError."""
        try:
            spawned = await self._spawn()
        except OSError as error:
            raise StartError(f"{self.name} cannot be started: {error.strerror} ({error.filename}).") from None
        try:
            async with asyncio.timeout(self._ready_timeout_s):
                while not await self._ready():
                    if spawned.returncode is not None:
                        raise StartError(
                            f"{self.name} ended with {process.describe_exit(spawned.returncode)}: {self._last_words()}."
                        )
                    await asyncio.sleep(_PROBE_PAUSE_S)
        except TimeoutError:
            raise StartError(
                f"{self.name} did not answer within {self._ready_timeout_s:g} s. See {self._log_path}."
            ) from None
        self._watch = asyncio.create_task(self._keep_alive())

    def signal(self, number: signal.Signals) -> None:
        """Signals the program itself, not its descendants."""
        if self._process is not None:
            process.signal_one(self._process, number)

    async def stop(self, grace_s: float) -> None:
        """Asks it to end, waits, and kills what is left."""
        self._closing = True
        if self._watch is not None:
            self._watch.cancel()
        if self._process is None:
            return
        if self._drain is not None:
            await self._drain(grace_s)
        process.signal_one(self._process, self._stop_signal)
        if not await process.ended(self._process, grace_s):
            _log.warning("%s did not end within %g s. Killing it.", self.name, grace_s)
        await self.kill()

    async def kill(self) -> None:
        """Kills it and its descendants at once."""
        self._closing = True
        if self._watch is not None:
            self._watch.cancel()
        if self._process is not None:
            process.signal_group(self._process, signal.SIGKILL)
            await self._process.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        with open(self._log_path, "ab") as log:  # noqa: ASYNC230 one open of a local file
            self._process = await process.spawn(
                self._command(), env=self._env, cwd=self._cwd, output=log, death_signal=self._death_signal
            )
        return self._process

    async def _keep_alive(self) -> None:
        crash_loop = CrashLoop()
        while self._process is not None:
            began_s = time.monotonic()
            code = await self._process.wait()
            # Children of a killed master survive and would hold the port.
            process.signal_group(self._process, signal.SIGKILL)
            _log.error("%s died with %s. Restarting it.", self.name, process.describe_exit(code))
            await asyncio.sleep(crash_loop.pause_s(time.monotonic() - began_s))
            await self._spawn()

    def _last_words(self) -> str:
        text = self._log_path.read_bytes()[-_REASON_BYTES_MAX:].decode("utf-8", "replace").strip()
        return text.splitlines()[-1] if text else f"it logged nothing; see {self._log_path}"

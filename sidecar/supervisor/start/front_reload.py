"""What a running front refuses of new files: logged, with the front's own reason, and counted.

Nginx checks a configuration before a reload; otherwise it would log a refusal only in its own log. Envoy reads some files
by itself and counts those that it refuses.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from sidecar.front.programs import Program
from sidecar.front.settings import FrontError
from sidecar.supervisor.metrics.page import SupervisorMetrics

_log = logging.getLogger("sidecar")
# One look is a request on a unix socket, and nothing that is refused ends what works.
_PAUSE_S = 2.0


class FrontReload:
    """`send` signals the front; `folder` is the one it runs in."""

    def __init__(
        self,
        program: Program,
        binary: Path,
        folder: Path,
        metrics: SupervisorMetrics,
        send: Callable[[signal.Signals], None],
    ) -> None:
        self._program = program
        self._binary = binary
        self._folder = folder
        self._metrics = metrics
        self._send = send
        self.refusals = 0
        """So many were said and counted."""

    async def apply(self, write: Callable[[], object] = lambda: None) -> bool:
        """Makes effective what `write` puts into the folder. False: that failed or is refused, which is said and counted."""
        try:
            await asyncio.to_thread(write)
            if self._program.reload_signal is None:
                return True  # it notices by itself
            await asyncio.to_thread(self._program.check, self._folder, self._binary)
        except (FrontError, OSError, subprocess.TimeoutExpired) as error:
            self._refused(f"The front goes on with the configuration that it has: {error}")
            return False
        self._send(self._program.reload_signal)
        return True

    async def follow(self) -> None:
        """Says what a front refuses that reads by itself, until it is cancelled."""
        if self._program.refused is None:
            return
        before: dict[str, int] = {}
        while True:
            await asyncio.sleep(_PAUSE_S)
            try:
                now = await self._program.refused(self._folder)
            except (OSError, http.client.HTTPException):
                before = {}  # it is starting again, and counts from nothing
                continue
            for file, count in now.items():
                if count > before.get(file, 0):
                    self._refused(f"{self._program.title} goes on with the {file} that it has. Its log has the reason.")
            before = now

    def _refused(self, words: str) -> None:
        _log.error("%s", words)
        self.refusals += 1
        self._metrics.front_reloads.labels("failure").inc()

"""Rotates logs: a file of `logs/` that has reached its maximum size becomes `NAME.1`, the old `NAME.1` becomes
`NAME.2`, and so on.

Our own logs are renamed, and every process continues in the new file within a second (sidecar.telemetry.log_output),
so no line is lost. Logs of other programs (Nginx, Envoy, the local model) are copied and truncated, because they
keep the file open: a line written in between is lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path
from typing import NoReturn

_log = logging.getLogger("sidecar")
# Number of rotated files per log.
KEPT = 4
# At 4,000 calls per second, a log grows by 1.5 MB in this time.
_LOOK_S = 1.0


class LogFiles:
    """`own` is the file behind standard error, or None."""

    def __init__(self, folder: Path, own: Path | None, bytes_max: int) -> None:
        self._folder = folder
        self._own = own
        self._bytes_max = bytes_max
        self._failing = False

    async def keep(self) -> NoReturn:
        """Rotates the logs until it is cancelled. Works in a thread, so that a hanging disk blocks nothing else."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await asyncio.to_thread(self.bound)

    def bound(self) -> None:
        try:
            for path in sorted(self._folder.glob("*.log")):
                if path.stat().st_size >= self._bytes_max:
                    self._begin_again(path)
        except OSError as error:
            if not self._failing:
                _log.error("A log file cannot be rotated: %s. Retrying.", error)
            self._failing = True
        else:
            self._failing = False

    def _begin_again(self, path: Path) -> None:
        for number in range(KEPT - 1, 0, -1):
            if (older := _numbered(path, number)).exists():
                older.replace(_numbered(path, number + 1))
        if self._own is not None and path.name == self._own.name:
            path.rename(_numbered(path, 1))
            return
        try:
            with open(_numbered(path, 1), "wb", opener=_private) as copy, path.open("rb") as log:
                shutil.copyfileobj(log, copy)
        finally:  # without space for the copy, bounding the log matters more than its contents
            os.truncate(path, 0)


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

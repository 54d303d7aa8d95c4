"""Follows a small file by looking at it: no limit on watches, no difference between edits, renames and network disks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger("sidecar")
# Users must come and go within 5 s; one stat() costs 2 us.
_PAUSE_S = 0.5


async def on_change(path: Path, act: Callable[[], None]) -> None:
    """Calls `act` at once and after each change of the file, until it is cancelled. After an OSError it tries again."""
    seen: object = None
    while True:
        now = _stamp(path)
        if now != seen:
            try:
                act()
                seen = now
            except OSError as error:
                _log.error("%s: %s", path, error)
        await asyncio.sleep(_PAUSE_S)


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_ino, status.st_mtime_ns, status.st_size

"""Follows a small file by looking at it: no limit on watches, no difference between edits, renames and network disks.

A file that is being written is looked at once its writer has closed it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from sidecar.config.file_marks import mark

_log = logging.getLogger("sidecar")
# Users must come and go within 5 s; one look costs 20 us.
_PAUSE_S = 0.5


async def on_change(path: Path, act: Callable[[], None]) -> None:
    """Calls `act` at once and after each change of the file, until it is cancelled. After an OSError it tries again."""
    seen: object = None
    while True:
        now = mark(str(path))
        # Where nobody can tell who writes, the next look is soon enough to mend what was read in the half.
        if now != seen and not now.written:
            try:
                act()
                seen = now
            except OSError as error:
                _log.error("%s: %s", path, error)
        await asyncio.sleep(_PAUSE_S)

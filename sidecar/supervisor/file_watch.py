"""Follows a small file by polling, which needs no watches and treats edits, renames and network file systems alike.

A file that is being written is read once its writer has closed it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from sidecar.config.file_marks import mark

_log = logging.getLogger("sidecar")
# A user who was removed on another gateway is refused within a second; one look costs 20 us.
_PAUSE_S = 0.25


async def on_change(path: Path, act: Callable[[], str]) -> None:
    """Calls `act` at once and after each change of the file, until it is cancelled. It returns what is wrong, or "".

    Retries after an OSError. Logs each fault once, and when the file is in use again.
    """
    seen: object = None
    reported = ""
    while True:
        now = mark(str(path))
        # If writers cannot be detected, the next check corrects a partial read soon enough.
        if now != seen and not now.written:
            try:
                wrong, seen = act(), now
            except OSError as error:
                wrong = str(error)
            if wrong and wrong != reported:
                _log.error("%s: %s", path, wrong)
            elif reported and not wrong:
                _log.info("%s is in use again.", path)
            reported = wrong
        await asyncio.sleep(_PAUSE_S)

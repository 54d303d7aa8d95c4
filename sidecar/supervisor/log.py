"""Log lines for people: time, level, text. Nothing logged anywhere holds a secret."""

from __future__ import annotations

import logging
from pathlib import Path

from sidecar.telemetry.log_output import LogHandler, LogOutput


def log_to_stderr(path: Path | None = None) -> None:
    """`path` is the file that standard error is, where that is one which begins anew now and then."""
    output = LogOutput()
    if path is not None:
        output.keep_to(path)
    logging.basicConfig(level=logging.INFO, handlers=[LogHandler(output)], force=True)
    # It tells at this level how many files changed; what came of it is told by ours.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)

"""Log lines for people: time, level, text. No log line anywhere contains a secret."""

from __future__ import annotations

import logging
from pathlib import Path

from sidecar.telemetry.log_output import LogHandler, LogOutput


def log_to_stderr(path: Path | None = None) -> None:
    """`path` is the file behind standard error, if it is one that gets rotated."""
    output = LogOutput()
    if path is not None:
        output.keep_to(path)
    logging.basicConfig(level=logging.INFO, handlers=[LogHandler(output)], force=True)
    # At INFO it logs how many files changed; our own lines report the result.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)

"""What the programs for command-line clients share: running one in its own folder, and what it said."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
_RUN_S = 120
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def output_of(*command: str, **env: str) -> str:
    """What it wrote on its standard output, without colours. Raises with its errors where it fails."""
    done = subprocess.run(
        command,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-400:]} {done.stdout[-400:]}")
    return _COLOURS.sub("", done.stdout).strip()


def expanded(text: str) -> str:
    """With the values of $VARIABLES in it, as a shell writes such a file."""
    return os.path.expandvars(text)

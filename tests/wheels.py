"""The wheels that `make dist` builds, for tests that install them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.processes import REPOSITORY

GATEWAY = REPOSITORY
CLIENT = REPOSITORY / "client"
_BUILD_S = 120.0  # 2 s is usual


def build_wheel(project: Path, folder: Path) -> Path:
    """Builds GATEWAY or CLIENT into an empty folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=_BUILD_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = folder.glob("*.whl")
    return path

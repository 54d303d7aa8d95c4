"""A disk of a few megabytes that a test can fill: a tmpfs that only the processes started on it see.

with SmallDisk(folder, 40) as disk:
    disk.child("sidecar", "up", "--state-dir", str(disk.inside / "state"), ...)
    disk.fill()
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.processes import REPOSITORY, RunningProcess

_MOUNT = 'mount -t tmpfs -o size="$1"m tmpfs "$2" && echo mounted && exec sleep infinity'
_PIECE = bytes(16 * 1024)


class SmallDisk:
    """`inside` is its path for what runs on it, `outside` the same for the test. It goes away with the `with` block."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        """Skips where the system lets nobody make one."""
        self.inside = folder / "disk"
        self.inside.mkdir()
        root = os.geteuid() == 0
        self._holder = RunningProcess(
            ["unshare", "-m" if root else "-rm", "sh", "-c", _MOUNT, "sh", str(megabytes), str(self.inside)]
        )
        try:
            self._holder.wait_for_line("^mounted$")
        except AssertionError as error:
            pytest.skip(f"needs a mount of its own (root, or user namespaces): {error}")
        self.outside = Path(f"/proc/{self._holder.pid}/root{self.inside}")
        self._enter = ["nsenter", f"--target={self._holder.pid}", "--mount"]
        if not root:
            self._enter += ["--user", "--preserve-credentials"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.kill()

    def _command(self, module: str, arguments: Sequence[str]) -> list[str]:
        change = ["sh", "-c", 'cd "$0" && exec "$@"', str(REPOSITORY)]
        return [*self._enter, *change, sys.executable, "-m", module, *arguments]

    def process(self, module: str, *arguments: str) -> RunningProcess:
        """`python -m MODULE ARGUMENTS` that sees the disk."""
        return RunningProcess(self._command(module, arguments))

    def run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        command = self._command(module, arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def fill(self) -> None:
        """Until not a byte more can be written."""
        with (self.outside / "fill").open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(_PIECE)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        (self.outside / "fill").unlink()

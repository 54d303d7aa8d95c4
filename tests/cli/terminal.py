"""`sidecar` at a terminal: a pseudo-terminal whose other end the test holds."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tests.processes import REPOSITORY

_WITHIN_S = 60.0
_READ_BYTES = 65_536


class Terminal:
    """with Terminal("chat", "chat") as terminal: terminal.type("hello\\n"); terminal.wait_for("echo: hello")"""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.output = ""
        self._seen = 0
        self._ours, theirs = pty.openpty()
        # setsid makes it the controlling terminal, so that Ctrl-C is a signal.
        command = ["setsid", "--ctty", "--wait", sys.executable, "-m", "sidecar", *arguments]
        variables = {"TERM": "xterm-256color", **os.environ, **(env or {})}
        variables.pop("NO_COLOR", None) if env is None or "NO_COLOR" not in env else None
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=REPOSITORY, env=variables
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def wait_for(self, pattern: str) -> str:
        """What was printed since the last wait, up to the pattern."""
        ends_s = time.monotonic() + _WITHIN_S
        while (found := re.search(pattern, self.output[self._seen :])) is None:
            assert self._more(ends_s), f"never {pattern!r} in:\n{self.output}"
        text = self.output[self._seen : self._seen + found.end()]
        self._seen += found.end()
        return text

    def end(self) -> int:
        """Reads to the end; the exit code."""
        ends_s = time.monotonic() + _WITHIN_S
        while self._more(ends_s):
            pass
        return self._process.wait(_WITHIN_S)

    def _more(self, ends_s: float) -> bool:
        """Waits for output. False at its end."""
        ready, _, _ = select.select([self._ours], [], [], max(0.0, ends_s - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._ours, _READ_BYTES)
        except OSError:  # the last process has closed it
            return False
        self.output += data.decode("utf-8", "replace")
        return bool(data)

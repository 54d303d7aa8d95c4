"""Where log lines go: to standard error, by a thread of its own, so that whoever logs never waits for a full disk or a pipe that
nobody reads. What cannot be written is dropped, and a line says how many were.

Where standard error is a file that has a name (`--detach`), the thread looks each second whether the name still means that file;
after a rotation, by the supervisor or by logrotate, it goes on in the new one. Each process does so by itself.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from pathlib import Path

# What a pipe that nobody reads may cost a process: some 10,000 lines.
_BYTES_MAX = 3 * 1024 * 1024
_LOOK_S = 1.0
# A record is waited for, so that it comes before what the process does next, and is there when it is killed then. Once that took
# longer than this nobody waits, until all is written.
_RECORD_S = 0.5
# What is left at the end of the process is waited for that long.
_END_S = 1.0
_FILE_MODE = 0o600
_STDOUT, _STDERR = 1, 2
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class LogOutput:
    """Of one process."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # of those
        self._dropped = 0  # lines
        self._cut = False  # the last line was written in part
        self._changed = threading.Condition()
        self._busy = False
        self._stuck = False
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def keep_to(self, path: Path) -> None:
        """Standard error is the file of this name, and goes on in whatever file gets the name."""
        with self._changed:
            self._path = path
            self._changed.notify_all()

    def put(self, lines: bytes) -> None:
        """Whole lines. Returns at once, from any thread."""
        with self._changed:
            if self._bytes + len(lines) > _BYTES_MAX:
                self._dropped += lines.count(b"\n")
                return
            self._waiting.append(lines)
            self._bytes += len(lines)
            self._changed.notify_all()

    def flush(self, within_s: float = _END_S) -> None:
        """Returns once all is written, or when the time is up."""
        end_s = time.monotonic() + within_s
        with self._changed:
            while self._waiting or self._busy:
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    self._stuck = True
                    return
                self._changed.wait(left_s)

    def put_record(self, line: bytes) -> None:
        """`put`, and it is written when this returns, unless the output is stuck."""
        self.put(line)
        if not self._stuck:
            self.flush(_RECORD_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                if not self._waiting:
                    self._stuck = False
                    self._changed.wait(None if self._path is None else _LOOK_S)
                lines, dropped = list(self._waiting), self._dropped
                self._waiting.clear()
                self._bytes = self._dropped = 0
                self._busy = True
            self.follow()
            lost = self._write(lines, dropped)
            with self._changed:
                self._dropped += lost

    def _write(self, lines: list[bytes], dropped: int) -> int:
        """How many lines are lost."""
        if dropped:
            lines.append(_dropped_line(dropped))
        for number, each in enumerate(lines):
            if not self._written(each):
                rest = sum(line.count(b"\n") for line in lines[number:])
                return rest - 1 + dropped if dropped else rest
        return 0

    def _written(self, data: bytes) -> bool:
        view = memoryview(b"\n" + data if self._cut else data)
        size = len(view)
        try:
            while view:
                view = view[os.write(_STDERR, view) :]
        except OSError:  # the disk is full, or nobody reads it any more
            self._cut = self._cut or len(view) < size
            return False
        self._cut = False
        return True

    def follow(self) -> None:
        """Goes on in the file that has the name now; makes it where there is none. Blocks."""
        if self._path is None:
            return
        try:
            now, named = os.fstat(_STDERR), _stat(self._path)
            if named is not None and os.path.samestat(now, named):
                return
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        except OSError:  # no space even for that: the old file goes on
            return
        if os.path.samestat(now, os.fstat(_STDOUT)):
            os.dup2(fd, _STDOUT)
        os.dup2(fd, _STDERR)
        os.close(fd)


class LogHandler(logging.Handler):
    """Records of `logging` as lines of a LogOutput."""

    def __init__(self, output: LogOutput, who: str = "") -> None:
        super().__init__()
        self._output = output
        self.setFormatter(logging.Formatter(_FORMAT.replace("%(message)s", f"{who} %(message)s") if who else _FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        self._output.put_record(self.format(record).encode("utf-8", "backslashreplace") + b"\n")

    def flush(self) -> None:
        self._output.flush()


def _dropped_line(count: int) -> bytes:
    record = logging.makeLogRecord(
        {"levelname": "WARNING", "msg": "%d log lines could not be written.", "args": (count,)}
    )
    return logging.Formatter(_FORMAT).format(record).encode() + b"\n"


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None

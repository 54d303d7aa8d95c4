"""Writes log lines to standard error in a dedicated thread, so that logging never waits for a full disk or an
unread pipe. Lines that cannot be written are dropped, and their number is logged.

If standard error is a named file (`--detach`), the thread checks every second whether the name still refers to it;
after a rotation, by the supervisor or logrotate, it continues in the new file. Each process does so independently.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from pathlib import Path

# What an unread pipe may cost a process: some 10,000 lines.
_BYTES_MAX = 3 * 1024 * 1024
_LOOK_S = 1.0
# Logging a record waits until it is written, so that it precedes what the process does next and survives a kill.
# Once that has taken longer than this, nothing waits until all is written.
_RECORD_S = 0.5
# How long the end of the process waits for what is left.
_END_S = 1.0
_FILE_MODE = 0o600
_STDOUT, _STDERR = 1, 2
_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class LogOutput:
    """The log output of one process."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._waiting: deque[bytes] = deque()
        self._bytes = 0  # bytes in the queue
        self._dropped = 0  # lines
        self._cut = False  # the last line was written in part
        self._changed = threading.Condition()
        self._busy = False
        self._stuck = False
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def keep_to(self, path: Path) -> None:
        """Standard error is the file with this name, and follows the name to another file."""
        with self._changed:
            self._path = path
            self._changed.notify_all()

    def put(self, lines: bytes) -> None:
        """Queues complete lines. Returns at once, from any thread."""
        with self._changed:
            if self._bytes + len(lines) > _BYTES_MAX:
                self._dropped += lines.count(b"\n")
                return
            self._waiting.append(lines)
            self._bytes += len(lines)
            self._changed.notify_all()

    def flush(self, within_s: float = _END_S) -> None:
        """Returns once everything is written, or when the time is up."""
        end_s = time.monotonic() + within_s
        with self._changed:
            while self._waiting or self._busy:
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    self._stuck = True
                    return
                self._changed.wait(left_s)

    def put_record(self, line: bytes) -> None:
        """Like `put`, but returns once the line is written, unless the output is stuck."""
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
        """Writes the lines and returns how many were lost."""
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
        except OSError:  # the disk is full, or the reader is gone
            self._cut = self._cut or len(view) < size
            return False
        self._cut = False
        return True

    def follow(self) -> None:
        """Switches to the file that has the name now, creating it if necessary. Blocks."""
        if self._path is None:
            return
        try:
            now, named = os.fstat(_STDERR), _stat(self._path)
            if named is not None and os.path.samestat(now, named):
                return
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        except OSError:  # no space for a new file either: keep the old one
            return
        if os.path.samestat(now, os.fstat(_STDOUT)):
            os.dup2(fd, _STDOUT)
        os.dup2(fd, _STDERR)
        os.close(fd)


class LogHandler(logging.Handler):
    """Converts records of `logging` to lines of a LogOutput."""

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

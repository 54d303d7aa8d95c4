"""Settlements that the store has not acknowledged, in a memory-mapped file, so that the next worker can send what a
killed one could not.

A worker takes over the first file that no other one holds, including its contents. A record is written before its
length, and freed by clearing the length, so a partly written one does not exist.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import time
from pathlib import Path

from sidecar.store.operations import Operation

_log = logging.getLogger(__name__)
_FILE_MODE = 0o600
# 4 MB per worker; most settlements take 300 to 500 bytes. Those that do not fit are kept by the process only.
RECORDS = 4_096
_RECORD_BYTES = 1_024
# Length of the rules in bits 32 to 47, number of words in bits 0 to 31; and the second of writing.
_HEAD = struct.Struct("<qq")
_DATA_BYTES_MAX = _RECORD_BYTES - _HEAD.size
# The store recognises an applied settlement for a day (script.lua). After that it must not be sent again.
_AGE_MAX_S = 23 * 3600
_FILES_MAX = 1_000


class UnsentSettles:
    """`found` holds the settlements of workers that have ended, each with its record."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError if no file is available."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self._fd, path = _first_free(folder)
        self._path = path
        os.posix_fallocate(self._fd, 0, RECORDS * _RECORD_BYTES)
        self._map = mmap.mmap(self._fd, RECORDS * _RECORD_BYTES)
        self.found: list[tuple[Operation, int]] = self._read()
        taken = {record for _, record in self.found}
        self._free = [record for record in range(RECORDS - 1, -1, -1) if record not in taken]
        for other in sorted(folder.glob("unsent-*")):
            if other != path:
                self._take_over(other)

    def keep(self, operation: Operation) -> int | None:
        """Returns the record of the operation; None if there was no room."""
        words, rules = operation
        data = words + rules
        if not self._free or len(data) > _DATA_BYTES_MAX:
            return None
        record = self._free.pop()
        at = record * _RECORD_BYTES
        begin = at + _HEAD.size
        self._map[begin : begin + len(data)] = data
        self._map[at:begin] = _HEAD.pack(len(rules) << 32 | len(words), int(time.time()))
        return record

    def forget(self, record: int | None) -> None:
        """It has been applied."""
        if record is not None:
            at = record * _RECORD_BYTES
            self._map[at : at + 8] = b"\0" * 8
            self._free.append(record)

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)

    def _read(self) -> list[tuple[Operation, int]]:
        found = []
        for record in range(RECORDS):
            at = record * _RECORD_BYTES
            lengths, written_s = _HEAD.unpack(self._map[at : at + _HEAD.size])
            if not lengths:
                continue
            words_end = at + _HEAD.size + (lengths & 0xFFFFFFFF)
            rules_end = words_end + (lengths >> 32)
            if rules_end > at + _RECORD_BYTES or not 0 <= time.time() - written_s < _AGE_MAX_S:
                if rules_end > at + _RECORD_BYTES or not 0 <= written_s <= time.time():
                    _log.error("A record of %s is damaged, and is dropped.", self._path)
                else:
                    when = time.ctime(written_s)
                    _log.error("A settlement of %s could not be sent to the store for a day, and is dropped.", when)
                self._map[at : at + 8] = b"\0" * 8
                continue
            operation = Operation(self._map[at + _HEAD.size : words_end], self._map[words_end:rules_end])
            found.append((operation, record))
        return found

    def _take_over(self, path: Path) -> None:
        """Takes over the file of a worker without a successor."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            _log.error("%s cannot be read: %s. What it holds is not sent to the store.", path, error.strerror)
            return
        try:
            if not _locked(fd) or os.fstat(fd).st_size < RECORDS * _RECORD_BYTES:
                return
            with mmap.mmap(fd, RECORDS * _RECORD_BYTES) as other:
                mine, self._map, self._path = (self._map, self._path), other, path
                try:
                    left = self._read()
                finally:
                    self._map, self._path = mine
                for operation, record in left:
                    kept = self.keep(operation)
                    if kept is not None:
                        self.found.append((operation, kept))
                        other[record * _RECORD_BYTES : record * _RECORD_BYTES + 8] = b"\0" * 8
        finally:
            os.close(fd)


def _first_free(folder: Path) -> tuple[int, Path]:
    for number in range(_FILES_MAX):
        path = folder / f"unsent-{number}"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        except (IsADirectoryError, FileNotFoundError):  # a folder, or a link to nowhere: `_take_over` names it
            continue
        if _locked(fd):
            return fd, path
        os.close(fd)
    raise OSError(f"all files of {folder} are in use")


def _locked(fd: int) -> bool:
    """The kernel releases the lock when the process ends."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

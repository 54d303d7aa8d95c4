"""Numbers that all worker processes share: a file in memory with rows of 64-bit words, found by a 128-bit key.

Rows are only ever added, or given to another key. A process remembers where it found a key; the key stands in the file beside the
row, so that what it remembers can be checked. Writers hold the file's lock, `flock(2)`, half the price of a byte-range lock: the
kernel takes it from a process that dies. It belongs to the open file: one thread uses a table, as workers do. Eight aligned bytes
are written by one instruction, so a reader without the lock sees a word as it was or as it is.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import time
from hashlib import blake2b
from pathlib import Path

KEY_BYTES = 16
_WORD_BYTES = 8
# Magic and version, rows, words, rows in use, columns in use, the process that took the lock last.
_MAGIC = int.from_bytes(b"sclimit1", "little")
_HEADER_WORDS = 8
_MAGIC_AT, _ROWS_AT, _WORDS_AT, _USED_AT, _COLUMNS_AT, _HOLDER_AT = range(6)
_FILE_MODE = 0o600
_EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB
# A writer is done in 10 µs; after that many turns it has lost its processor, for milliseconds on a busy machine.
_YIELDS = 20
_PAUSE_S = 0.0001
# To look at who holds the lock costs 50 µs: every 10 ms or so.
_ATTEMPTS_PER_LOOK = 50
_PIECE_BYTES = 1024 * 1024


def key_of(*parts: str) -> bytes:
    """128 bits of a hash: two of 30,000 keys are the same once in 10^29 configurations."""
    digest = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(4, "little") + data)
    return digest.digest()


class Table:
    """`words` is all of the table's numbers: those of row r are words[r * width : (r + 1) * width]."""

    def __init__(self, path: Path, *, rows: int, width: int) -> None:
        """Opens the file, and makes it with its full size if it is not there: a disk that is full must say so now, and not kill
        a worker that writes later. Raises OSError; ValueError for a file of another shape."""
        self.rows = rows
        self.width = width
        self._keys_at = _HEADER_WORDS * _WORD_BYTES
        words_at = self._keys_at + rows * KEY_BYTES
        size = words_at + rows * width * _WORD_BYTES
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        self._pid = os.getpid()
        self._header = memoryview(bytearray(self._keys_at)).cast("q")  # until the file is mapped
        try:
            self.lock()
            if os.fstat(self._fd).st_size < size:
                _allocate(self._fd, size)
            self._map = mmap.mmap(self._fd, size)
            view = memoryview(self._map)
            self._header = view[: self._keys_at].cast("q")
            self._header[_HOLDER_AT] = self._pid
            self.words = view[words_at:].cast("q")
            self._check_shape(path)
            self.unlock()
        except BaseException:
            os.close(self._fd)
            raise
        self._found: dict[bytes, int] = {}

    def _check_shape(self, path: Path) -> None:
        shape = (_MAGIC, self.rows, self.width)
        header = self._header
        if header[_MAGIC_AT] == 0:
            header[_MAGIC_AT], header[_ROWS_AT], header[_WORDS_AT] = shape
        if (header[_MAGIC_AT], header[_ROWS_AT], header[_WORDS_AT]) != shape:
            raise ValueError(f"{path}: not a table of this version")

    def lock(self) -> None:
        """Waits while another process writes: microseconds. Not for one that is stopped (SIGSTOP, a debugger, a frozen group): it
        would hold up everybody, so its lock is passed over and a number or two may be wrong until it goes on."""
        try:
            fcntl.flock(self._fd, _EXCLUSIVE)
        except BlockingIOError:
            if not self._waited_for_lock():
                return
        self._header[_HOLDER_AT] = self._pid

    def _waited_for_lock(self) -> bool:
        """False: its holder is stopped."""
        for _ in range(_YIELDS):
            os.sched_yield()
            if _try_lock(self._fd):
                return True
        attempts = 0
        while not _try_lock(self._fd):
            attempts += 1
            if attempts % _ATTEMPTS_PER_LOOK == 0 and _is_stopped(_holder(self._fd)):
                return False
            time.sleep(_PAUSE_S)
        return True

    def unlock(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    @property
    def used(self) -> int:
        """Rows that have a key: the first ones."""
        return self._header[_USED_AT]

    @property
    def columns(self) -> int:
        """Columns that somebody said they use: the first ones."""
        return self._header[_COLUMNS_AT]

    def use_column(self, column: int) -> None:
        """With the lock."""
        if column >= self.columns:
            self._header[_COLUMNS_AT] = column + 1

    def find(self, key: bytes) -> int | None:
        """The key's row. With the lock, or by the only process that adds rows."""
        row = self._found.get(key)
        if row is not None:
            at = self._keys_at + row * KEY_BYTES
            if self._map[at : at + KEY_BYTES] == key:
                return row
        row = self._search(key)
        if row is not None:
            self._found[key] = row
        return row

    def claim(self, key: bytes) -> int | None:
        """The key's row, a new one of zeros if it has none; None when the table is full. With the lock."""
        row = self.find(key)
        if row is not None:
            return row
        row = self.used
        if row == self.rows:
            return None
        self._name(row, key)
        self._header[_USED_AT] = row + 1
        return row

    def give(self, row: int, key: bytes) -> None:
        """Takes the row from the key it has; its words become zero. With the lock."""
        self._name(row, b"\0" * KEY_BYTES)  # whoever dies in the middle leaves a row that nobody finds
        for at in range(row * self.width, (row + 1) * self.width):
            self.words[at] = 0
        self._name(row, key)

    def key(self, row: int) -> bytes:
        """Of a row that is in use."""
        at = self._keys_at + row * KEY_BYTES
        return bytes(self._map[at : at + KEY_BYTES])

    def close(self) -> None:
        """Gives up the lock, too, if this process holds it."""
        self.words.release()
        self._header.release()
        self._map.close()
        os.close(self._fd)

    def _name(self, row: int, key: bytes) -> None:
        at = self._keys_at + row * KEY_BYTES
        self._map[at : at + KEY_BYTES] = key
        if key[0] or key[1]:
            self._found[key] = row

    def _search(self, key: bytes) -> int | None:
        """Every key of the table, as fast as memory is read; once per process and key."""
        end = self._keys_at + self.used * KEY_BYTES
        at = self._map.find(key, self._keys_at, end)
        while at != -1:
            row, rest = divmod(at - self._keys_at, KEY_BYTES)
            if rest == 0:
                return row
            at = self._map.find(key, at + 1, end)
        return None


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, _EXCLUSIVE)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> int:
    """The pid of the process that took the lock last; 0 where nobody ever has."""
    return int.from_bytes(os.pread(fd, _WORD_BYTES, _HOLDER_AT * _WORD_BYTES), "little")


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in ("T", "t")


def _allocate(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        # A file system that cannot promise space: zeros take it, a hole would kill whoever writes into it on a full disk.
        for at in range(0, size, _PIECE_BYTES):
            os.pwrite(fd, bytes(min(_PIECE_BYTES, size - at)), at)

"""Numbers shared by all worker processes: a memory-mapped file with rows of 64-bit words, addressed by a 128-bit
key.

Rows are only added or reassigned to another key. A process caches where it found a key, and the key is stored with
the row, so that the cache can be verified. Writers hold the file's `flock(2)` lock, which costs half of a byte-range
lock and is released by the kernel when its process dies. It belongs to the open file, so only one thread may use a
table, as in a worker. Eight aligned bytes are written by one instruction, so a reader without the lock sees either
the old or the new word.
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
# A writer takes 10 µs; after this many attempts it has been descheduled, for milliseconds on a busy machine.
_YIELDS = 20
_PAUSE_S = 0.0001
# Finding out who holds the lock takes 50 µs, so it happens every 10 ms or so.
_ATTEMPTS_PER_LOOK = 50
_PIECE_BYTES = 1024 * 1024


def key_of(*parts: str) -> bytes:
    """A hash of 128 bits: two of 30,000 keys collide in one of 10^29 configurations."""
    digest = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(4, "little") + data)
    return digest.digest()


class Table:
    """`words` holds all numbers of the table: those of row r are words[r * width : (r + 1) * width]."""

    def __init__(self, path: Path, *, rows: int, width: int) -> None:
        """Opens the file, creating it in full size if necessary: a full disk has to fail here, not kill a worker
        that writes later. Raises OSError; ValueError for a file of another shape."""
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
        """Takes the lock, waiting microseconds while another process writes. A stopped process (SIGSTOP, debugger,
        frozen cgroup) would block everyone, so its lock is ignored; a number or two may be wrong when it
        continues."""
        try:
            fcntl.flock(self._fd, _EXCLUSIVE)
        except BlockingIOError:
            if not self._waited_for_lock():
                return
        self._header[_HOLDER_AT] = self._pid

    def _waited_for_lock(self) -> bool:
        """Waits for the lock. Returns False if its holder is stopped."""
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
        """Number of rows with a key; they come first."""
        return self._header[_USED_AT]

    @property
    def columns(self) -> int:
        """Number of columns in use; they come first."""
        return self._header[_COLUMNS_AT]

    def use_column(self, column: int) -> None:
        """Requires the lock."""
        if column >= self.columns:
            self._header[_COLUMNS_AT] = column + 1

    def find(self, key: bytes) -> int | None:
        """Returns the row of the key. Requires the lock, unless only this process adds rows."""
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
        """Returns the row of the key, adding one of zeros if necessary; None if the table is full. Requires the
        lock."""
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
        """Reassigns the row to the key and clears its words. Requires the lock."""
        self._name(row, b"\0" * KEY_BYTES)  # a process that dies halfway leaves a row that no key finds
        for at in range(row * self.width, (row + 1) * self.width):
            self.words[at] = 0
        self._name(row, key)

    def key(self, row: int) -> bytes:
        """The key of a row in use."""
        at = self._keys_at + row * KEY_BYTES
        return bytes(self._map[at : at + KEY_BYTES])

    def close(self) -> None:
        """Also releases the lock if this process holds it."""
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
        """Scans all keys at memory speed; happens once per process and key."""
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
    """The pid of the process that took the lock last; 0 if none has."""
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
        # The file system cannot reserve space, so write zeros: writing to a hole on a full disk would kill the
        # process.
        for at in range(0, size, _PIECE_BYTES):
            os.pwrite(fd, bytes(min(_PIECE_BYTES, size - at)), at)

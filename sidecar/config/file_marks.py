"""Tells whether a file is finished: no process has it open for writing, and it has not changed for a moment.

For local files Linux knows the first: a read lease (`F_SETLEASE`) is refused while any process has the file open for
writing. The lease is released at once. Elsewhere (NFS, macOS, a file of another user) it is unknown, so only waiting
helps.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import sys
from dataclasses import dataclass
from functools import lru_cache

# File systems on which the kernel sees every writer. Others only see those of this machine, or refuse leases for
# other reasons.
_LOCAL = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "rootfs", "tmpfs", "xfs", "zfs"}
)
# Directories of one config. If a mount changes in the meantime, a wait only becomes longer or shorter.
_DIRECTORIES_MAX = 1024


@dataclass(frozen=True, slots=True)
class Mark:
    """The state of a file at one moment. If two marks are equal, nothing was written in between (within the clock's
    resolution, see Watcher)."""

    identity: tuple[int, ...]  # device, inode, size, mtime, ctime in ns; or the errno of the failed access
    written: bool | None  # whether a process has it open for writing; None if unknown
    changed_s: float = 0.0  # Unix time


def mark(path: str) -> Mark:
    """Returns the mark of the file behind `path`, following symlinks. Never blocks, never raises."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        return Mark((error.errno or 0,), False)
    except ValueError:  # a NUL: a literal key that is tried as a path
        return Mark((errno.EINVAL,), False)
    try:
        status = os.fstat(fd)
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        written = _written(fd, path) if stat.S_ISREG(status.st_mode) else False
        return Mark(identity, written, max(status.st_mtime, status.st_ctime))
    finally:
        os.close(fd)


def _written(fd: int, path: str) -> bool | None:
    if sys.platform != "linux" or _filesystem(os.path.dirname(os.path.realpath(path))) not in _LOCAL:
        return None
    try:
        # A writer that arrives during the microseconds of the lease waits for its release, and we get SIGIO, which
        # is fatal by default.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None  # EACCES: another user's file
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


@lru_cache(_DIRECTORIES_MAX)
def _filesystem(directory: str) -> str:
    """The type of the file system of a real path; "" if unknown."""
    found, longest = "", -1
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                before, _, after = line.partition(" - ")
                point = _unescaped(before.split(" ")[4])
                inside = directory == point or directory.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= longest:  # a later mount on the same point hides the earlier one
                    found, longest = after.split(" ", 1)[0], len(point)
    except (OSError, IndexError):
        return ""
    return found


def _unescaped(text: str) -> str:
    for code in ("040", "011", "012", "134"):  # blank, tab, newline, and backslash last
        text = text.replace(f"\\{code}", chr(int(code, 8)))
    return text

"""The state directory: keys, users, sockets, logs, and the lock of the one supervisor that uses it."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from sidecar.supervisor.start.start_error import StartError

_log = logging.getLogger("sidecar")
_SOCKET_PATH_BYTES_MAX = 107  # sun_path is 108 bytes with its NUL on Linux
_LONGEST_SOCKET_NAME = "w99-1234567.sock"  # two digits of slot, Linux's largest pid has seven
# 15 MB of tables that the workers share, taken at once; the front's files, certificates, the first of the spend.
_START_MB = 20
_PID_BYTES = 16
_GATEWAY = re.compile(rb"[0-9a-f]{16}")
_DIR_MODE = 0o700
_FILE_MODE = 0o600
# Created at each start: what a dead supervisor left there means nothing to this one.
_FRESH = ("run",)
_GONE = ("metrics", "front/run")  # an earlier version's metrics; the front makes its own folder
_KEPT = ("front", "logs")


class StateDir:
    """Paths below the state directory, and its lock. `open` raises StartError in words for the operator."""

    def __init__(self, root: Path, lock: int, run: Path) -> None:
        self.root = root
        self.run = run  # sockets; may lie elsewhere, see run_dir
        self._lock = lock

    @classmethod
    def open(cls, root: Path, waiting: Callable[[], None] | None = None) -> StateDir:
        """Makes the directory (0700), takes its lock, and empties run/."""
        root = Path(os.path.abspath(root))
        try:
            make_private(root)
            lock = _take_lock(root)
        except OSError as error:
            raise _unusable(root, error) from None
        try:
            run = _make_run_dir(root)
            for name in (*_FRESH, *_GONE):
                shutil.rmtree(root / name, ignore_errors=True)
            _require_space(root)
            for path in {run, *(root / name for name in (*_FRESH, *_KEPT))}:
                path.mkdir(mode=_DIR_MODE, exist_ok=True)
        except OSError as error:
            os.close(lock)
            raise StartError(
                f"The state directory {root} cannot be used: {error.strerror} ({error.filename})."
            ) from None
        except StartError:
            os.close(lock)
            raise
        return cls(root, lock, run)

    def close(self) -> None:
        """Removes the sockets and gives the lock back."""
        shutil.rmtree(self.run, ignore_errors=True)
        os.pwrite(self._lock, _pid_text(""), 0)
        os.close(self._lock)

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def users(self) -> Path:
        return self.root / "users"

    @property
    def env(self) -> Path:
        return self.root / "env"

    @property
    def front(self) -> Path:
        return self.root / "front"

    @property
    def store(self) -> Path:
        """Settles that a shared store has not acknowledged; they outlive the gateway."""
        return self.root / "store"

    @property
    def gateway(self) -> str:
        """Its name among the gateways that share a store: created once and then kept. One that is damaged is made again, as
        one that was removed. Raises OSError."""
        path = self.root / "gateway-id"
        found = path.read_bytes().strip() if path.is_file() else b""
        if not _GATEWAY.fullmatch(found):
            if found:
                _log.warning("%s is not the name of a gateway, and is made again.", path)
            write_private(path, secrets.token_hex(8))
        return path.read_text(encoding="utf-8").strip()

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def make_private(root: Path) -> None:
    """Makes the state directory, for its owner alone. Raises StartError."""
    try:
        root.mkdir(mode=_DIR_MODE, parents=True, exist_ok=True)
        root.chmod(_DIR_MODE)
    except OSError as error:
        raise _unusable(root, error) from None


def run_dir(root: Path) -> Path:
    """Where the sockets of this state directory go: below it, or in a short private directory when its path is too long."""
    root = Path(os.path.abspath(root))
    name = "sidecar-" + hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
    places = [root / "run", Path("/tmp") / name]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        places.insert(1, Path(runtime) / name)
    return next(
        (run for run in places if len(os.fsencode(run / _LONGEST_SOCKET_NAME)) <= _SOCKET_PATH_BYTES_MAX), places[-1]
    )


def running_pid(root: Path) -> int | None:
    """The pid of the supervisor that holds the state directory's lock; None when there is none."""
    try:
        fd = os.open(root / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 32, 0).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)
    return None


def wait_until_free(root: Path) -> None:
    """Returns once no supervisor holds the lock."""
    with open(root / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, in one step: nobody sees half of it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _FILE_MODE)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _take_lock(root: Path) -> int:
    fd = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
        os.close(fd)
        raise StartError(
            f"The state directory {root} is in use by a running gateway (pid {pid}). Stop it with "
            f"`sidecar down --state-dir {root}`, or choose another with --state-dir."
        ) from None
    os.pwrite(fd, _pid_text(str(os.getpid())), 0)
    return fd


def _pid_text(pid: str) -> bytes:
    """Always of one size: where the disk is full, what is there can be written over."""
    return pid.ljust(_PID_BYTES - 1).encode() + b"\n"


def _require_space(root: Path) -> None:
    """Checks the free space before anything is created that a full disk would leave incomplete. Raises StartError."""
    disk = os.statvfs(root)
    free = disk.f_bavail * disk.f_frsize
    if disk.f_blocks and free < _START_MB * 1_000_000:  # some file systems do not say
        raise StartError(
            f"The state directory {root} has {free // 1_000_000} MB free, and a start needs {_START_MB} MB. Make room, or "
            "choose another with --state-dir."
        )


def _make_run_dir(root: Path) -> Path:
    run = run_dir(root)
    if run.parent == root:
        return run
    try:
        run.mkdir(mode=_DIR_MODE)
    except FileExistsError:
        found = run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != _DIR_MODE:
            raise StartError(f"{run} exists, but is not a private directory of this user. Remove it.") from None
        shutil.rmtree(run)  # sockets of a supervisor that was killed: we hold the lock, so it is gone
        run.mkdir(mode=_DIR_MODE)
    return run


def _unusable(root: Path, error: OSError) -> StartError:
    if error.errno == errno.ENOSPC:
        return StartError(
            f"The state directory {root} has 0 MB free, and a start needs {_START_MB} MB. Make room, or choose another with "
            "--state-dir."
        )
    file = f" ({error.filename})" if error.filename and Path(error.filename) != root else ""
    return StartError(
        f"The state directory {root} cannot be used: {error.strerror}{file}. Choose another with --state-dir."
    )

"""The users file: who may call through the front. Changes take effect at the next request, without a restart.

Format: htpasswd with {SHA}, one `name:{SHA}base64` a line. Lines that begin with # are comments; what somebody wrote by hand may
have a third field, CRLF and a byte order mark. Nginx computes the hash in its event loop at every request,
so it must be cheap; that is safe because passwords are generated here, never chosen (docs/decisions/0004).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# 192 bits: an unsalted fast hash of so many random bits cannot be searched. At least 128 are needed.
_PASSWORD_BYTES = 24
# E-mail addresses too, also those of the longest name that a mail server takes before its @.
_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,128}")
_BYTE_ORDER_MARK = "\ufeff"


class UsersError(Exception):
    """A name that cannot be used, exists already, or is unknown; the text is one line for the operator."""


def list_users(file: Path) -> list[str]:
    """Names in the order of the file; a missing file has none. OSError."""
    return list(dict.fromkeys(line.partition(":")[0] for _, line in numbered_lines(file)))


def numbered_lines(file: Path) -> list[tuple[int, str]]:
    """The lines of users with their numbers from 1; a missing file has none. OSError."""
    lines = enumerate(_text(file).split("\n"), 1)
    return [(number, line) for number, line in lines if line.rstrip("\r") and not line.startswith("#")]


def add_user(file: Path, name: str, *, replace: bool = False) -> str:
    """Adds a user (or, with `replace`, gives it a new password) and returns the password, which is stored nowhere.

    Raises UsersError for a name outside [A-Za-z0-9._@+-]{1,128} or one that exists; OSError.
    """
    if not _NAME.fullmatch(name):
        raise UsersError(f"{name!r} is not a valid user name. Use 1 to 128 letters, digits, and any of . _ @ + and -.")
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    with _locked(file):
        others = [line for line in _lines(file) if line.partition(":")[0] != name]
        if not replace and len(others) != len(_lines(file)):
            raise UsersError(f"User {name!r} already exists. To give it a new password, use --replace.")
        _write(file, [*others, f"{name}:{_hash(password)}"])
    return password


def remove_user(file: Path, name: str) -> None:
    """Raises UsersError for an unknown name; OSError."""
    with _locked(file):
        lines = _lines(file)
        others = [line for line in lines if line.partition(":")[0] != name]
        if len(others) == len(lines):
            raise UsersError(f"There is no user {name!r}.")
        _write(file, others)


def ensure_users_file(file: Path) -> None:
    """Makes an empty file where there is none: Nginx answers 403 to everybody without one. OSError."""
    with _locked(file):
        if not file.exists():
            _write(file, [])
        elif file.read_bytes().startswith(_BYTE_ORDER_MARK.encode()):
            _write(file, _lines(file))  # Nginx would take the mark for a part of the first user's name


def api_key(user: str, password: str) -> str:
    """The same credential as one word, for `Authorization: Bearer` (what OpenAI clients send)."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _hash(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()


def _lines(file: Path) -> list[str]:
    """Comments too: what a command changes, it leaves as somebody wrote it but for its user's line."""
    return [line for line in _text(file).split("\n") if line]


def _text(file: Path) -> str:
    """Bytes that are no UTF-8 stay as they are: they are some user's that nobody can be."""
    try:
        return file.read_bytes().decode("utf-8", "surrogateescape").removeprefix(_BYTE_ORDER_MARK)
    except FileNotFoundError:
        return ""


def _write(file: Path, lines: list[str]) -> None:
    """Readers see the old file or the new one. It belongs to the folder's owner, as whom Nginx's workers run."""
    fresh = file.with_name(f"{file.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
        handle.flush()
        os.fsync(handle.fileno())
    if os.geteuid() == 0:
        owner = file.parent.stat()
        os.chown(fresh, owner.st_uid, owner.st_gid)
    fresh.rename(file)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Two commands at once do not lose each other's user. The lock is on the folder: the file itself is replaced."""
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

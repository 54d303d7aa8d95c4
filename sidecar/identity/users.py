"""The users file: who may call through the front. Changes take effect at the next request, without a restart.

Format: htpasswd with {SHA}, one `name:{SHA}base64` per line. Lines that begin with # are comments; hand-written
lines may have a third field, CRLF and a byte order mark. Nginx computes the hash in its event loop for every
request, so it must be cheap; that is safe because passwords are generated here, never chosen (docs/decisions/0004).
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# 192 bits: an unsalted fast hash of that many random bits cannot be brute-forced. At least 128 are needed.
_PASSWORD_BYTES = 24
# Allows e-mail addresses, including the longest local part that mail servers accept.
_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,128}")
# What a front can read: other hashes than {SHA} are Nginx's to know.
_LINE = re.compile(r"[^:\x00-\x1f\x7f\ud800-\udfff]{1,256}:[\x20-\x7e]+\r?")
_BYTE_ORDER_MARK = "\ufeff"
# A name, and a hash of a kind that one of the fronts knows; deploy/nginx/users.js has the same.
_USER = re.compile(r"[^:\x00-\x1f\x7f]+:(\{(SHA|SSHA|PLAIN)\}|\$[0-9a-z]+\$|[A-Za-z0-9./]{13}(:|\r?$))")
NOBODY = "No line of it is a user: name:{SHA}hash. Callers get 503 until one is."


class UsersError(Exception):
    """A name that is invalid, exists already, or is unknown; the text is one line for the operator."""


def list_users(file: Path) -> list[str]:
    """Returns names in the order of the file; none if it is missing. Raises OSError."""
    return list(dict.fromkeys(line.partition(":")[0] for _, line in numbered_lines(file)))


def why_nobody(file: Path) -> str:
    """Why this file lets nobody in; "" where it has a user. OSError."""
    return "" if any(_USER.match(line) for _, line in numbered_lines(file)) else NOBODY


def numbered_lines(file: Path) -> list[tuple[int, str]]:
    """Returns the lines of users with their numbers from 1; none if the file is missing. Raises OSError."""
    lines = enumerate(_text(file).split("\n"), 1)
    return [(number, line) for number, line in lines if line.rstrip("\r") and not line.startswith("#")]


def lines_of_nobody(file: Path) -> list[int]:
    """Numbers of the lines that are no user's: without a colon, a name or a hash, or with what no name has. OSError."""
    return [number for number, line in numbered_lines(file) if not _LINE.fullmatch(line)]


def add_user(file: Path, name: str, *, replace: bool = False) -> str:
    """Adds a user (or, with `replace`, changes its password) and returns the password, which is not stored
    anywhere.

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


def lines_by_name(file: Path) -> dict[str, str]:
    """The line that counts for each user, the first; a missing file has none. OSError."""
    found: dict[str, str] = {}
    for _, line in numbered_lines(file):
        found.setdefault(line.partition(":")[0], line.rstrip("\r"))
    return found


def put_lines(file: Path, changes: Mapping[str, str | None], before: Mapping[str, str]) -> None:
    """Replaces, adds or (None) removes users, each of them if its line is still the one that `before` has. OSError."""
    with _locked(file):
        now = lines_by_name(file)
        wanted = {name: line for name, line in changes.items() if now.get(name) == before.get(name)}
        others = [line for line in _lines(file) if line.partition(":")[0] not in wanted]
        _write(file, [*others, *(line for line in wanted.values() if line is not None)])


def ensure_users_file(file: Path) -> None:
    """Creates an empty file if there is none, because Nginx answers 403 to everyone without one. Raises OSError."""
    with _locked(file):
        if not file.exists():
            _write(file, [])
        elif file.read_bytes().startswith(_BYTE_ORDER_MARK.encode()):
            _write(file, _lines(file))  # Nginx would treat the byte order mark as part of the first user's name


def api_key(user: str, password: str) -> str:
    """The same credentials as one word, for `Authorization: Bearer` (as OpenAI clients send)."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _hash(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()


def _lines(file: Path) -> list[str]:
    """Includes comments: a command only changes the line of its user."""
    return [line for line in _text(file).split("\n") if line]


def _text(file: Path) -> str:
    """Invalid UTF-8 is preserved: it is in the name of a user that cannot log in."""
    try:
        return file.read_bytes().decode("utf-8", "surrogateescape").removeprefix(_BYTE_ORDER_MARK)
    except FileNotFoundError:
        return ""


def _write(file: Path, lines: list[str]) -> None:
    """Writes atomically: readers see the old file or the new one. It is owned by the folder's owner, as whom
    Nginx's workers run."""
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
    """Keeps two concurrent commands from losing each other's user. Locks the folder, because the file itself is
    replaced."""
    descriptor = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

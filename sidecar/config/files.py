"""Reads the config file and the secrets next to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from sidecar.config.problems import ConfigErrors, Problem

ReadFile = Callable[[str], str | None]

# A config has at most 16 Mi characters (see yaml_tree); one more byte is read to detect more.
_CONFIG_BYTES_MAX = 64 * 1024 * 1024
# Keys are small, CA bundles some hundred KiB.
_FILE_BYTES_MAX = 4 * 1024 * 1024


def read_config(path: str) -> str:
    """Returns the config's text. Raises ConfigErrors if it cannot be read or is not UTF-8."""
    try:
        data = _read(path, _CONFIG_BYTES_MAX)
    except OSError as error:
        raise ConfigErrors([Problem(path, 0, "", f"cannot be read: {error.strerror or 'not a file'}")]) from None
    if data is None:
        raise ConfigErrors([Problem(path, 0, "", "is not a file" if os.path.exists(path) else "does not exist")])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigErrors([Problem(path, line, "", "not UTF-8", "save the file as UTF-8")]) from None


def reader(directory: str) -> ReadFile:
    """Returns a function that reads secrets and CA bundles relative to `directory`. It raises OSError for a file
    that exists but cannot be read."""

    def read(path: str) -> str | None:
        data = _read(os.path.join(directory, path), _FILE_BYTES_MAX)
        # Bytes that are not UTF-8 become lone surrogates, which the check of a key's characters refuses.
        return None if data is None else data.decode("utf-8", "surrogateescape")

    return read


def _read(path: str, bytes_max: int) -> bytes | None:
    """Returns None unless there is a regular file of that name (a pipe would block, a directory is not a key)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        # A literal key is also tried as a path: one that is too long for a name, or loops, is not a file.
        if error.errno in _NO_SUCH_NAME:
            return None
        raise
    with open(path, "rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OSError(27, "the file is too large")
    return data


_NO_SUCH_NAME = frozenset({36, 40})  # ENAMETOOLONG, ELOOP on Linux

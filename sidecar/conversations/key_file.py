"""The encryption key if the config names none: a file in the state directory, created with the first record."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from sidecar.conversations.sealing import KEY_BYTES

log = logging.getLogger(__name__)

KEY_FILE = "responses.key"
_FORM = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}\n?")
_MODE = 0o600


def key_in(folder: Path) -> bytes:
    """Returns the key, creating a new one if it is missing or invalid. Only one process may call this at a time.
    Raises OSError."""
    path = folder / KEY_FILE
    try:
        text = path.read_bytes().decode("ascii", "replace")
    except FileNotFoundError:
        return _made(path)
    if _FORM.fullmatch(text):
        return bytes.fromhex(text)
    log.error("%s holds no valid key. A new one is created, and the answers stored with the old one are lost.", path)
    return _made(path)


def _made(path: Path) -> bytes:
    key = os.urandom(KEY_BYTES)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return key

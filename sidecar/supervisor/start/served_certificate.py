"""The certificate that the front serves: a copy of the operator's chain and key, made while the two match.

The front only reads the copy. Losing, truncating or half-renewing the files has no effect, even on a front that is
restarted.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from sidecar.config.file_marks import mark

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHAIN, _KEY = "chain.pem", "key.pem"
_DIGITS = 16


class ServedCertificate:
    """`source`: the operator's chain and key. `folder`: private, for the copies, each in a separate folder."""

    def __init__(self, source: tuple[Path, Path], folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._seen: object = None
        self.chain, self.key = source

    def changed(self) -> bool:
        """Whether the files have changed since the last check, and no process is writing them."""
        marks = [mark(str(each)) for each in self._source]
        if marks == self._seen or any(each.written for each in marks):
            return False
        self._seen = marks
        return True

    def look_again(self) -> None:
        """Makes the next `changed` return True."""
        self._seen = None

    def take(self, check: Callable[[Path, Path], None], write: Callable[[Path, bytes], None]) -> bool:
        """Copies a changed certificate to `chain` and `key`. Returns whether there is a new one. `check` raises
        ValueError for files that do not match, `write` writes a private file. Raises ValueError with the names
        of the operator's files, OSError."""
        contents = [each.read_bytes().removeprefix(_BYTE_ORDER_MARK) for each in self._source]
        digest = hashlib.sha256(b"\0".join(contents)).hexdigest()[:_DIGITS]
        folder = self._folder / digest
        if self.chain.parent == folder:
            return False
        self._folder.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        copies = (folder / _CHAIN, folder / _KEY)
        try:
            for copy, content in zip(copies, contents, strict=True):
                write(copy, content)
            check(*copies)
        except ValueError as error:
            shutil.rmtree(folder, ignore_errors=True)
            text = str(error)
            for copy, own in zip(copies, self._source, strict=True):
                text = text.replace(str(copy), str(own))
            raise ValueError(text) from None
        before, (self.chain, self.key) = self.chain.parent, copies
        for old in self._folder.iterdir():
            if old not in (folder, before):  # the previous copy may be read until the front has switched
                shutil.rmtree(old, ignore_errors=True)
        return True

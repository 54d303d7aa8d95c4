"""The certificate that the front serves: a copy of the operator's chain and key, taken when the two fit together.

The front reads the copy alone. A file that is lost, cut, half renewed or another key's changes nothing, not even for a front
that has to be started again.
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
    """`source`: chain and key as they are named. `folder`: private, for the copies, each in a folder of its own."""

    def __init__(self, source: tuple[Path, Path], folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._seen: object = None
        self.chain, self.key = source

    def changed(self) -> bool:
        """Whether the files look otherwise than at the last look, and nobody writes to them now."""
        marks = [mark(str(each)) for each in self._source]
        if marks == self._seen or any(each.written for each in marks):
            return False
        self._seen = marks
        return True

    def look_again(self) -> None:
        """The next `changed` is true."""
        self._seen = None

    def take(self, check: Callable[[Path, Path], None], write: Callable[[Path, bytes], None]) -> bool:
        """Whether there is another certificate to serve now, at `chain` and `key`. `check` raises ValueError for files that
        are no pair, `write` writes a private file. Raises ValueError with the files' own names, OSError."""
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
            if old not in (folder, before):  # the one before may be read until the front has followed
                shutil.rmtree(old, ignore_errors=True)
        return True

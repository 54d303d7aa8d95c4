"""Documents that the gateways of one installation share through the store: a small set, changed by people.

Every change has a number, and only succeeds for a gateway that has seen the preceding one, so each change is
validated against all others. Each gateway keeps what it has seen on its own disk: the store is only where they
exchange changes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Protocol

from sidecar.domain.snapshot import SharedStore
from sidecar.store.connect import Connector
from sidecar.store.line import Line, Refused, StoreError, Unanswered
from sidecar.store.operations import slot_of

_SCRIPT = resources.files(__package__).joinpath("documents.lua").read_bytes()
# A person waits for the answer to a change; a store that does not answer for longer counts as unavailable.
_ANSWER_S = 2.0
# As many as documents.lua remembers.
_CHANGES_KEPT = 1_000
_SEALED, _PLAIN = b"s", b"p"


class Outcome(StoreError):
    """The outcome is unknown: the change may have been made, but its answer was lost."""


@dataclass(frozen=True, slots=True)
class State:
    """Identifies the last change. `lineage` identifies the sequence of changes: one that began in another store is
    different. `chance` distinguishes two changes with the same number, one of which was lost in a failover."""

    lineage: str
    number: int
    chance: str

    @classmethod
    def first(cls) -> State:
        return cls(_random(), 1, _random())

    @classmethod
    def of(cls, text: str) -> State | None:
        """Returns None for anything else: there was no change yet, or another program wrote it."""
        parts = text.split(" ")
        if len(parts) != 3 or not parts[1].isdecimal():
            return None
        return cls(parts[0], int(parts[1]), parts[2])

    def next(self) -> State:
        return State(self.lineage, self.number + 1, _random())

    def __str__(self) -> str:
        return f"{self.lineage} {self.number} {self.chance}"


@dataclass(frozen=True, slots=True)
class Found:
    """The result of reading. `whole`: these are all documents; otherwise only those that have changed. None: it was
    deleted or, in `unread`, is encrypted with another key."""

    state: State | None
    whole: bool
    documents: Mapping[str, bytes | None]
    unread: frozenset[str]


class Seal(Protocol):
    """Encrypts documents, each bound to its name."""

    def seal(self, name: str, document: bytes) -> bytes: ...

    def unseal(self, name: str, sealed: bytes) -> bytes | None:
        """None if it was sealed with another key or for another name."""


class Documents:
    """One set of documents. Methods raise StoreError while the store is unavailable, within seconds."""

    def __init__(self, store: SharedStore, name: str, seal: Seal | None) -> None:
        key_name = slot_of(store.installation) + name.encode()
        self._keys = (key_name, key_name + b":documents", key_name + b":changes")
        self._connector = Connector(store)
        self._seal = seal
        self._line: Line | None = None
        self.compared = False  # whether everything on this server was read once
        self._connecting = asyncio.Lock()

    @property
    def sealed(self) -> bool:
        """Whether what it writes is encrypted."""
        return self._seal is not None

    async def state(self) -> State | None:
        """Returns None if nothing has been written."""
        text: bytes | None = await self._ask(b"GET", self._keys[0])
        return None if text is None else State.of(text.decode("ascii", "replace"))

    async def read(self, since: State | None) -> Found:
        """Returns what has changed since `since`; everything if that is unknown."""
        now = await self.state()
        line = self._line
        whole = since is None or now is None or not self.compared or now.lineage != since.lineage
        whole = whole or not 0 <= now.number - since.number < _CHANGES_KEPT  # type: ignore[union-attr]
        after = "" if whole else since.number  # type: ignore[union-attr]
        answer: list[bytes] = await self._ask(b"EVAL", _SCRIPT, 3, *self._keys, b"read", after)
        documents: dict[str, bytes | None] = {}
        unread = set()
        for field, value in zip(answer[1::2], answer[2::2], strict=True):
            name = field.decode("utf-8", "replace")
            documents[name] = self._opened(name, value) if value else None
            if value and documents[name] is None:
                unread.add(name)
        self.compared = whole or line is self._line
        return Found(State.of(answer[0].decode("ascii", "replace")), whole, documents, frozenset(unread))

    async def write(
        self, before: State | None, now: State, documents: Mapping[str, bytes | None], *, replace: bool = False
    ) -> bool:
        """Returns False, without doing anything, if another change was made since `before`. None deletes a
        document. `replace`: delete those that are not named. Raises Outcome if the change may have been made."""
        words: list[bytes | str | int] = []
        for name, document in documents.items():
            words += (name.encode(), b"" if document is None else self._closed(name, document))
        head = ("" if before is None else str(before), str(now), now.number, "replace" if replace else "")
        await self._connected()
        try:
            return bool(await self._ask(b"EVAL", _SCRIPT, 3, *self._keys, b"write", *head, *words))
        except Refused:  # a former master, or out of memory: nothing was done
            self.close()
            raise
        except StoreError as error:
            raise Outcome(str(error)) from None

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.abort()

    def _closed(self, name: str, document: bytes) -> bytes:
        return _PLAIN + document if self._seal is None else _SEALED + self._seal.seal(name, document)

    def _opened(self, name: str, value: bytes) -> bytes | None:
        """None if it is encrypted with another key; with a key configured, unencrypted documents are not accepted."""
        kind, rest = value[:1], value[1:]
        if self._seal is None:
            return rest if kind == _PLAIN else None
        return self._seal.unseal(name, rest) if kind == _SEALED else None

    async def _ask(self, *command: bytes | str | int) -> Any:
        line = await self._connected()
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await line.ask(*command)
        except TimeoutError:
            self.close()
            raise Unanswered("there was no answer in time") from None
        except Unanswered:
            self.close()
            raise

    async def _connected(self) -> Line:
        async with self._connecting:
            if self._line is None or not self._line.is_open:
                self._line = (await self._connector.connect()).line
                self.compared = False  # may be another server
            return self._line


def _random() -> str:
    return f"{random.SystemRandom().getrandbits(64):016x}"

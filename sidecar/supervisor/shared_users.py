"""The users of the state directory, on all gateways that share a store.

`users` stays the file that the front reads and that `sidecar users` changes. What changes in it is written to the store, and what
other gateways write there is written to the file. Each name has an edition: the highest counts, so a user who was removed does
not come back with a gateway that was away, or with a store that lost its data. The copy of the last comparison tells what the
file's owner has changed since.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar.domain.snapshot import SharedStore
from sidecar.identity import users
from sidecar.store.documents import Documents, Found, State
from sidecar.store.line import StoreError
from sidecar.supervisor.document_seal import DocumentSeal
from sidecar.supervisor.start.state import write_private

if TYPE_CHECKING:
    from prometheus_client import Metric

_log = logging.getLogger("sidecar")
_KIND = "users"
_FORM = 1
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class User:
    """What is known of a name. `line` is its line of the file, None for a user who was removed."""

    line: str | None
    edition: int


def merged(mine: User | None, theirs: User | None) -> User | None:
    """Which of the two counts: the higher edition. Of two that were made at the same time, a removal; else the store's."""
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    if mine.edition != theirs.edition:
        return max(mine, theirs, key=lambda each: each.edition)
    return mine if mine.line is None else theirs


def edited(copy: Mapping[str, User], lines: Mapping[str, str]) -> dict[str, User]:
    """The copy with what was changed in the file since."""
    found = dict(copy)
    for name in {*copy, *lines}:
        known, line = copy.get(name), lines.get(name)
        if known is None or known.line != line:
            found[name] = User(line, 1 if known is None else known.edition + 1)
    return found


class SharedUsers:
    """`file` is the users file, `copy` a file of its own. `waiting` counts changes that the other gateways do not have yet."""

    def __init__(self, store: SharedStore, file: Path, copy: Path) -> None:
        self._documents = Documents(store, _KIND, DocumentSeal.of(store, _KIND))
        self._file = file
        self._copy_file = copy
        self._copy = _read_copy(copy)
        self._seen: State | None = None
        self._mark: object = None  # of the file, as it was compared
        self._failing = False
        self._strange: Mapping[str, str] = {}  # why, by the name
        self.waiting = 0

    async def look(self) -> bool:
        """Whether the store answers. What is new on either side is taken over to the other."""
        try:
            mark = await asyncio.to_thread(_mark, self._file)
            if mark != self._mark or not self._documents.compared or await self._documents.state() != self._seen:
                await self._agree()
                self._mark = mark
        except StoreError:
            await self._count_waiting()
            return False
        except OSError as error:
            if not self._failing:
                _log.error("The users are not compared with those of the other gateways: %s.", error)
            self._failing = True
            return True
        self._failing, self.waiting = False, 0
        return True

    def close(self) -> None:
        self._documents.close()

    def collect(self) -> Iterable[Metric]:
        """As a Prometheus collector."""
        from prometheus_client.core import GaugeMetricFamily

        yield GaugeMetricFamily(
            "sidecar_users_waiting",
            "Users that were added, changed or removed on this gateway, of which the other gateways do not know yet.",
            value=self.waiting,
        )

    async def _agree(self) -> None:
        """Raises StoreError, OSError."""
        for _ in range(_ATTEMPTS):
            found = await self._documents.read(None)
            theirs, strange = _opened(found)
            self._report(strange)
            lines = await asyncio.to_thread(self._lines)
            mine = edited(self._copy, self._intended(lines))
            names = (mine.keys() | theirs.keys()) - strange.keys()
            both = {name: each for name in names if (each := merged(mine.get(name), theirs.get(name))) is not None}
            fresh = {name: _written(each) for name, each in both.items() if each != theirs.get(name)}
            state = found.state
            if fresh:
                state = State.first() if state is None else state.next()
                if not await self._documents.write(found.state, state, fresh):
                    continue
            await asyncio.to_thread(self._take, both, lines or {})
            self._seen = state
            return
        raise StoreError("other gateways keep changing users")

    def _take(self, both: Mapping[str, User], lines: Mapping[str, str]) -> None:
        """Writes the file before the copy: after a crash in between, the file has what the store has."""
        changes = {name: each.line for name, each in both.items() if each.line != lines.get(name)}
        if changes:
            users.put_lines(self._file, changes, lines)
        for name, line in changes.items():
            _log.info("User %s was %s on another gateway.", name, _done(name in lines, line))
        if both != self._copy:
            self._copy_file.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(self._copy_file, json.dumps({name: _row(each) for name, each in both.items()}))
            self._copy = dict(both)

    def _lines(self) -> Mapping[str, str] | None:
        """None where there is no file. Bytes that are no text are no user's of another gateway."""
        if not self._file.exists():
            return None
        return {name: line for name, line in users.lines_by_name(self._file).items() if line.isprintable()}

    def _intended(self, lines: Mapping[str, str] | None) -> Mapping[str, str]:
        """A file that is gone does not mean that everybody was removed: it comes back."""
        if lines is not None:
            return lines
        return {name: each.line for name, each in self._copy.items() if each.line is not None}

    def _report(self, strange: Mapping[str, str]) -> None:
        for name, why in strange.items():
            if self._strange.get(name) != why:
                _log.error("User %s is not compared with the other gateways: %s.", name, why)
        self._strange = strange

    async def _count_waiting(self) -> None:
        try:
            lines = await asyncio.to_thread(self._lines)
        except OSError:
            return
        now = edited(self._copy, self._intended(lines))
        waiting = sum(each != self._copy.get(name) for name, each in now.items())
        if waiting and not self.waiting:
            _log.warning("The store is down: changes of users reach the other gateways when it is back.")
        self.waiting = waiting


def _mark(file: Path) -> object:
    """None for no file."""
    try:
        found = os.stat(file)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _row(user: User) -> dict[str, Any]:
    return {"form": _FORM, **asdict(user)}


def _written(user: User) -> bytes:
    return json.dumps(_row(user), sort_keys=True).encode()


def _opened(found: Found) -> tuple[dict[str, User], dict[str, str]]:
    """What the store has, and by the name why something of it cannot be used."""
    known: dict[str, User] = {}
    strange = dict.fromkeys(found.unread, "it is encrypted with another `store.encryption_key`")
    for name, document in found.documents.items():
        if document is not None:
            try:
                known[name] = _user(name, json.loads(document))
            except ValueError as error:
                strange[name] = str(error)
    return known, strange


def _done(was_there: bool, line: str | None) -> str:
    return "removed" if line is None else "changed" if was_there else "added"


def _user(name: str, value: Any) -> User:
    """Raises ValueError."""
    if not isinstance(value, dict) or value.get("form") != _FORM:
        raise ValueError("a newer release wrote it")
    line, edition = value.get("line"), value.get("edition")
    good = line is None or (isinstance(line, str) and line.startswith(f"{name}:") and line.isprintable())
    if not good or type(edition) is not int:
        raise ValueError("it is no line of a users file")
    return User(line, edition)


def _read_copy(file: Path) -> dict[str, User]:
    """Without one, what is in the file is new."""
    try:
        return {name: _user(name, value) for name, value in json.loads(file.read_text("utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        _log.warning("%s cannot be read, and is written again: %s.", file, error)
        return {}

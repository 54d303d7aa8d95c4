"""Routes and limits that were changed at run time, on disk next to the config: `routes.d/`, private to its owner.

    routes.d/NAME.yaml           a route managed through the API; keys in it are `secret:NAME-...`
    routes.d/secrets/NAME-...    a key
    routes.d/limits/NAME.json    limits set through the API, also for routes of the config file
    routes.d/store               the last change of a shared store that these files contain

NAME is the route's, with `,` for a slash, `=` for a colon and `+` for a star.

Every file is created, changed and removed atomically, and synced before the next one: first keys, then the route. So
whenever the machine stops, a route exists completely or not at all. At worst a key remains that no route names;
`sweep` removes it.
"""

from __future__ import annotations

import json
import os
import re
import secrets as randomness
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from sidecar.domain.snapshot import Limit

DIRECTORY = "routes.d"
_SEEN = "store"
_DIR_MODE = 0o700
_FILE_MODE = 0o600
# Names consist of the characters of a route's; "~" is not among them, so a partly written file is never taken for a
# complete one.
_HALF = "~"
_NOT_FIRST = re.compile(r"^[.]|[^A-Za-z0-9_.-]")
_ROUTE_CHARS = 100
# One for one, and none of them valid in a name: 128 characters still fit into a file name, and the mapping is
# reversible.
_SPECIAL = {"/": ",", ":": "=", "*": "+"}
_TO_FILE = str.maketrans(_SPECIAL)
_FROM_FILE = str.maketrans({file: name for name, file in _SPECIAL.items()})
# What to do about a file that is damaged.
_ROUTE_LOST = "restore it, or remove it to be without its route"
_LIMITS_LOST = "restore it, or remove it so that the limits of the config hold"
_REFERENCE = re.compile(r'"secret:([A-Za-z0-9_.-]+)"')


class DamagedFile(ValueError):
    """A file of `routes.d/` that cannot be read as what it is. `str()` says why, and what to do."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path = str(path)


class RouteFiles:
    """`routes.d/` next to one config file, created on the first write. Every method may raise OSError."""

    def __init__(self, config_directory: str) -> None:
        self.root = Path(config_directory) / DIRECTORY
        self.secrets = self.root / "secrets"
        self._limits = self.root / "limits"
        self.version = 0  # counts changes of routes

    def path(self, name: str) -> Path:
        """The file of the route with this name."""
        return self.root / f"{name.translate(_TO_FILE)}.yaml"

    def texts(self) -> dict[str, str]:
        """The text of each route's file by path, in the order of names. Raises DamagedFile."""
        return {str(path): _read(path, _ROUTE_LOST).decode() for path in _entries(self.root, ".yaml", _ROUTE_LOST)}

    def has(self, name: str) -> bool:
        """Whether this route is managed through the API."""
        return self.path(name).is_file()

    def secret(self, name: str) -> str | None:
        """Returns a key by its name in `secret:`; None if there is none."""
        try:
            return (self.secrets / name).read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None

    def put(self, name: str, text: str, keys: Mapping[str, str], *, keep_limits: bool) -> None:
        """Creates a route, or replaces all of it. `keys`: by their names in `secret:`. If this raises, the route is
        unchanged."""
        _make(self.root)
        before = self.path(name).read_text("utf-8") if self.has(name) else None
        try:
            if keys:
                _make(self.secrets)
                for key_name, value in keys.items():
                    _put(self.secrets / key_name, value)
                _settle(self.secrets)
            if not keep_limits:
                self.write_limits(name, None)
            _put(self.path(name), text)
            _settle(self.root)
            self._forget(before or "", text)
        except OSError:
            self._undo(name, before)
            raise
        finally:
            self.version += 1  # last, so that readers of the files notice the change

    def remove(self, name: str) -> None:
        """Removes the route's file, then its limits and keys."""
        before = self.path(name).read_text("utf-8")
        try:
            self.path(name).unlink()
            _settle(self.root)
            self.write_limits(name, None)
        finally:
            self._forget(before, "")
            self.version += 1

    def _undo(self, name: str, before: str | None) -> None:
        with suppress(OSError, DamagedFile):
            if before is None:
                self.path(name).unlink(missing_ok=True)
            elif self.path(name).read_text("utf-8") != before:
                _put(self.path(name), before)
            self.sweep()

    def _forget(self, before: str, now: str) -> None:
        """Removes the keys that only the old text names. Those that cannot be removed now are removed by the next
        `sweep`."""
        with suppress(OSError):
            for key in set(references(before)) - set(references(now)):
                (self.secrets / key).unlink(missing_ok=True)

    def limits(self) -> dict[str, tuple[Limit, ...]]:
        """Limits set through the API, by route. Raises DamagedFile: without its file, a route would lose its limits."""
        found = {}
        for path in _entries(self._limits, ".json", _LIMITS_LOST):
            try:
                name = path.name.removesuffix(".json").translate(_FROM_FILE)
                found[name] = tuple(Limit(**each) for each in json.loads(_read(path, _LIMITS_LOST)))
            except (TypeError, ValueError, RecursionError) as error:
                if isinstance(error, DamagedFile):
                    raise
                raise DamagedFile(path, f"is not a list of limits; {_LIMITS_LOST}") from None
        return found

    def write_limits(self, name: str, limits: tuple[Limit, ...] | None) -> None:
        """None restores the limits of the config file."""
        path = self._limits / f"{name.translate(_TO_FILE)}.json"
        if limits is None:
            if path.exists():
                path.unlink()
                _settle(self._limits)
            return
        _make(self.root)
        _make(self._limits)
        _put(path, json.dumps([asdict(limit) for limit in limits]))
        _settle(self._limits)

    def seen(self) -> str:
        """What `write_seen` wrote last; "" where these files were never those of a store."""
        try:
            return (self.root / _SEEN).read_text("ascii", "replace")
        except OSError:  # everything is compared then
            return ""

    def write_seen(self, text: str) -> None:
        """ "": what is changed from now on, no store knows."""
        path = self.root / _SEEN
        if text:
            _make(self.root)
            _put(path, text)
        elif path.exists():
            path.unlink()

    def require_writable(self) -> None:
        """Raises the OSError that a change would raise now."""
        _make(self.root)
        probe = self.root / f"{_SEEN}{_HALF}"
        probe.write_text("")
        probe.unlink()

    def sweep(self) -> None:
        """Removes partly written files and keys that no route names, which a crash may have left behind."""
        named = {name for text in self.texts().values() for name in references(text)}
        for path in _files(self.secrets, ""):
            if path.name not in named:
                path.unlink(missing_ok=True)
        for directory in (self.root, self._limits):
            for path in _files(directory, _HALF):
                path.unlink(missing_ok=True)


def key_name(route: str) -> str:
    """Returns a new name for each key: the old key stays until the route that names it was replaced. At most 128
    characters, none of them special in a path."""
    return f"{_NOT_FIRST.sub('_', route[:_ROUTE_CHARS])}-{randomness.token_hex(8)}"


def references(text: str) -> list[str]:
    """Names of the keys that a route's file names."""
    return _REFERENCE.findall(text)


def _files(directory: Path, end: str) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.name.endswith(end) and entry.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entries(directory: Path, end: str, hint: str) -> list[Path]:
    """All of that name, whatever they are: a folder or a lost link in a file's place is not overlooked."""
    try:
        with os.scandir(directory) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.name.endswith(end))
    except FileNotFoundError:
        if not os.path.lexists(directory):
            return []
        raise DamagedFile(directory, f"is a link to a file that is not there; {hint}") from None
    except OSError as error:
        raise DamagedFile(directory, f"cannot be read: {error.strerror}; {hint}") from None


def _read(path: Path, hint: str) -> bytes:
    """UTF-8."""
    try:
        data = path.read_bytes()
        data.decode()
    except OSError as error:
        raise DamagedFile(path, f"cannot be read: {error.strerror}; {hint}") from None
    except UnicodeDecodeError:
        raise DamagedFile(path, f"is not text in UTF-8; {hint}") from None
    return data


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=_DIR_MODE)
    except FileExistsError:
        return
    _settle(directory.parent)


def _put(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + _HALF)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _FILE_MODE)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _FILE_MODE)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _settle(directory: Path) -> None:
    """Syncs the directory, so that renames and removals in it are durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

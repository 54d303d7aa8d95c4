"""Follows a config file: every change that matters becomes a finished Snapshot, or the reasons why not.

The directories are watched, not the file, because an `mv` or a ConfigMap's `..data` swap puts another file in its
place. What counts is content: the config's text and that of every secret file it names. Routes that were made by call
(`routes.d/`) are loaded with it, but not watched: the gateway writes them itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from watchfiles import awatch

from sidecar.config import Beside, ConfigErrors, Problem, ReadFile, beside, load, read_config, reader
from sidecar.route_files import RouteFiles
from sidecar.snapshot import Snapshot

# Quiet for this long after an event, an editor has finished writing; a directory that never rests is looked at anyway.
_QUIET_MS = 50
_BUSY_MS = 400
# Network file systems send no events, and a directory that was a symlink may be swapped above what is watched.
_POLL_S = 5.0
# inotify's default is 8,192 watches a user; secrets of one config lie in a few directories. The rest is polled.
_PLACES_MAX = 256
# Linux gives up after 40 symlinks too.
_SYMLINKS_MAX = 40

_Place = tuple[str, int, int]  # directory, device, inode: one that was replaced is another place


@dataclass(frozen=True, slots=True)
class Reload:
    """One change. `snapshot` is None where the new content cannot be used (`problems` says why): the old one stays."""

    snapshot: Snapshot | None
    problems: tuple[Problem, ...] = ()


class Watcher:
    """Loads one config and follows it. For one event loop; `reloads` is iterated once.

    `load()` first, then `async for reload in watcher.reloads()`: nothing that changes in between is missed. Without
    `load()` the first reload comes at once. `local_base_url` may be set later; it holds from the next load. `made` are the
    routes that were made by call.
    """

    def __init__(
        self, path: str, env: Mapping[str, str], *, local_base_url: str | None = None, made: RouteFiles | None = None
    ) -> None:
        self.local_base_url = local_base_url
        self.made_version = -1  # of `made` as the last load saw it
        self.started = asyncio.Event()  # set once changes are seen
        self._path = path
        self._env = env
        self._directory = os.path.dirname(os.path.abspath(path))
        self._made = made
        self._read = reader(self._directory)
        self._text: str | None = None  # what was looked at last; None: nothing yet
        self._failure: ConfigErrors | None = None  # why there was no text
        self._files: dict[str, str | None] = {}  # secret files as they were then, by path as written
        self._forced = False
        self._wake = asyncio.Event()

    def load(self) -> Snapshot:
        """The config as it is now. Raises ConfigErrors. Blocks meanwhile: 6,001 routes take about a second."""
        self._text, self._failure, self._files = None, None, {}
        try:
            self._text = read_config(self._path)
        except ConfigErrors as errors:
            self._failure = errors
            raise
        return self.load_text(self._text, self._remember)

    def load_text(
        self,
        text: str,
        read_file: ReadFile | None = None,
        *,
        made: Mapping[str, str] | None = None,
        key: ReadFile | None = None,
    ) -> Snapshot:
        """`text` in place of the file's, and where they are given `made` (texts by file name) and `key` in place of what
        routes.d/ holds. Raises ConfigErrors. What is followed stays as it is."""
        if self._made is not None and made is None:
            self.made_version = self._made.version
            try:
                made = self._made.texts()
            except (OSError, ValueError) as error:
                raise ConfigErrors([Problem(str(self._made.root), 0, "", f"cannot be read: {error}")]) from None
        return load(
            text,
            self._env,
            file=self._path,
            read_file=read_file or self._read,
            local_base_url=self.local_base_url,
            directory=self._directory,
            extra=made,
            read_secret=key or (None if self._made is None else self._made.secret),
        )

    def beside(self, text: str) -> Beside:
        """What a file of routes needs of `text` to be read by itself. Raises ConfigErrors."""
        return beside(
            text,
            self._env,
            read_file=self._read,
            directory=self._directory,
            local_base_url=self.local_base_url,
        )

    @property
    def text(self) -> str | None:
        """The file as it was looked at last."""
        return self._text

    def poke(self) -> None:
        """Load again even if nothing changed (SIGHUP). Call it on the event loop."""
        self._forced = True
        self._wake.set()

    async def reloads(self) -> AsyncIterator[Reload]:
        """Every change, for ever; never raises. Closing or cancelling it ends the watch."""
        watch = _Watch(self._wake)
        try:
            while True:
                places = await asyncio.to_thread(self._places)
                await watch.on(places)
                forced, self._forced = self._forced, False
                self._wake.clear()
                reload = await asyncio.to_thread(self._look, forced)
                self.started.set()
                if reload is not None:
                    yield reload
                if await asyncio.to_thread(self._places) == places:
                    await _wait(self._wake)
        finally:
            await watch.off()

    def _look(self, forced: bool) -> Reload | None:
        if not forced and not self._changed():
            return None
        try:
            return Reload(self.load())
        except ConfigErrors as errors:
            return Reload(None, tuple(errors.problems))

    def _changed(self) -> bool:
        try:
            text = read_config(self._path)
        except ConfigErrors as errors:
            return self._failure is None or str(errors) != str(self._failure)
        return text != self._text or any(self._content(path) != content for path, content in self._files.items())

    def _remember(self, path: str) -> str | None:
        try:
            content = self._read(path)
        except OSError as error:
            self._files[path] = _unreadable(error)
            raise
        self._files[path] = content
        return content

    def _content(self, path: str) -> str | None:
        try:
            return self._read(path)
        except OSError as error:
            return _unreadable(error)

    def _places(self) -> frozenset[_Place]:
        """Directories where a change may show: of the config, of secret files, and of every symlink on the way."""
        directories = dict.fromkeys(_directories(self._path))
        for path in self._files:
            directories.update(dict.fromkeys(_directories(os.path.join(self._directory, path))))
        places = (_place(directory) for directory in list(directories)[:_PLACES_MAX])
        return frozenset(place for place in places if place is not None)


class _Watch:
    """watchfiles on a set of directories that may change."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._places: frozenset[_Place] = frozenset()
        self._stop = threading.Event()
        self._task: asyncio.Task[None] | None = None

    async def on(self, places: frozenset[_Place]) -> None:
        """Returns once the directories are watched, or cannot be (then `_POLL_S` is all there is)."""
        if self._task is not None and not self._task.done() and places == self._places:
            return
        await self.off()
        self._places, self._stop = places, threading.Event()
        directories = [directory for directory, _, _ in places]
        self._task = asyncio.create_task(self._notice(directories))
        # awatch sets up its watches before it first waits, which is in the task's first step.
        await asyncio.sleep(0)

    async def off(self) -> None:
        if self._task is not None:
            self._stop.set()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _notice(self, directories: list[str]) -> None:
        if not directories:
            return
        try:
            async for _ in awatch(
                *directories,
                watch_filter=None,
                debounce=_BUSY_MS,
                step=_QUIET_MS,
                recursive=False,
                stop_event=self._stop,
            ):
                self._wake.set()
        except (OSError, RuntimeError):  # a directory went away just now, or the system has no watches left
            return


async def _wait(wake: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(wake.wait(), _POLL_S)
    except TimeoutError:
        return


def _unreadable(error: OSError) -> str:
    return f"\0{error.errno}"  # no key has a NUL, so this equals no content


def _directories(path: str) -> list[str]:
    """Of the path, of where it really is, and of each symlink between."""
    try:
        found = [os.path.dirname(os.path.abspath(path)), os.path.dirname(os.path.realpath(path))]
        for _ in range(_SYMLINKS_MAX):
            if not os.path.islink(path):
                break
            path = os.path.join(os.path.dirname(path), os.readlink(path))
            found.append(os.path.dirname(os.path.abspath(path)))
    except (OSError, ValueError):  # a literal key need not make a legal path
        return []
    return found


def _place(directory: str) -> _Place | None:
    try:
        status = os.stat(directory)
    except (OSError, ValueError):
        return None
    return (directory, status.st_dev, status.st_ino) if os.path.isdir(directory) else None

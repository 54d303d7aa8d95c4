"""Follows a config file: every relevant change becomes a complete Snapshot, or a list of problems.

Directories are watched instead of the file, because a `mv` or a ConfigMap's `..data` swap puts another file in its
place. Only content counts: the text of the config and of every secret file that it names. Routes managed through the
API (`routes.d/`) are loaded with it, but not watched: the gateway writes them itself.

Nothing is read while it is being written (decision 0015): `sidecar.config.settle` waits for that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from sidecar.config import BaseConfig, ConfigErrors, Problem, ReadFile, load, read_base, read_config, reader
from sidecar.config.directory_watch import DirectoryWatch, Place, directories_of, place
from sidecar.config.route_store import DamagedFile, RouteFiles
from sidecar.config.settle import TIMING, Settling, Timing, marks, until_finished
from sidecar.domain.snapshot import Snapshot

# inotify's default is 8,192 watches per user; a config's secrets are in a few directories. The rest is polled.
_PLACES_MAX = 256


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """One change. `snapshot` is None if the new content is invalid (see `problems`), in which case the old one
    stays. `asks`: requests that triggered it; they want it applied even if it grants access."""

    snapshot: Snapshot | None
    problems: tuple[Problem, ...] = ()
    asks: tuple[Ask, ...] = ()


@dataclass(eq=False, slots=True)
class Ask:
    """A request to read the config again. `verdict` gets the reason of a refusal, or "" once it is in use."""

    verdict: asyncio.Future[str] | None = None

    def answer(self, why: str) -> None:
        if self.verdict is not None and not self.verdict.done():
            self.verdict.set_result(why)


class Watcher:
    """Loads one config and follows it. For one event loop; iterate `reloads` once.

    Call `load()` first, then `async for reload in watcher.reloads()`: no change in between is missed. Without
    `load()`, the first reload comes at once. `local_base_url` may be set later and applies to the next load. `made`
    are the routes managed through the API. `opens` tells whether a snapshot grants access that did not exist before:
    then its files must have been unchanged for longer.
    """

    def __init__(
        self,
        path: str,
        env: Mapping[str, str],
        *,
        local_base_url: str | None = None,
        made: RouteFiles | None = None,
        opens: Callable[[Snapshot], bool] = lambda snapshot: False,
        timing: Timing = TIMING,
    ) -> None:
        self.local_base_url = local_base_url
        self.made_version = -1  # of `made` as of the last load
        self.started = asyncio.Event()  # set once changes are detected
        self.path = path
        self._env = env
        self._directory = os.path.dirname(os.path.abspath(path))
        self._made = made
        self._read = reader(self._directory)
        self._text: str | None = None  # what was read last; None before the first time
        self._failure: ConfigErrors | None = None  # why there was no text
        self._files: dict[str, str | None] = {}  # secret files as of then, by path as written
        self._opens = opens
        self._timing = timing
        self._forced = False  # read even if nothing changed
        self._asks: list[Ask] = []
        self._wake = asyncio.Event()
        self.looks = 0  # how often the files were checked

    def load_finished(self) -> Snapshot:
        """Like `load`, once no process writes the config or a file that it names. Raises ConfigErrors, also if that
        takes too long. Blocks."""
        until_finished([os.path.abspath(self.path)], self._timing)
        while True:
            seen = self._looked_at(self._files)
            snapshot = self.load()
            named = self._looked_at(self._files)
            until_finished(named, self._timing)
            if marks(seen) == marks(named):
                return snapshot

    def load(self) -> Snapshot:
        """Loads the config as it is now. Raises ConfigErrors. Blocks: 6,001 routes take about a second."""
        self._text, self._failure, self._files = None, None, {}
        try:
            self._text = read_config(self.path)
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
        """Loads `text` instead of the file's and, if given, `made` (texts by file name) and `key` instead of the
        contents of routes.d/. Raises ConfigErrors. What is followed does not change."""
        if self._made is not None and made is None:
            self.made_version = self._made.version
            try:
                made = self._made.texts()
            except DamagedFile as error:
                raise ConfigErrors([Problem(error.path, 0, "", str(error))]) from None
        return load(
            text,
            self._env,
            file=self.path,
            read_file=read_file or self._read,
            local_base_url=self.local_base_url,
            directory=self._directory,
            route_files=made,
            read_secret=key or (None if self._made is None else self._made.secret),
        )

    def read_base(self, text: str) -> BaseConfig:
        """Reads from `text` what a route file needs to be read on its own. Raises ConfigErrors."""
        return read_base(
            text,
            self._env,
            read_file=self._read,
            directory=self._directory,
            local_base_url=self.local_base_url,
        )

    @property
    def text(self) -> str | None:
        """The file as it was read last."""
        return self._text

    def poke(self, ask: Ask | None = None) -> None:
        """Loads again even if nothing changed, for `ask` if given. Call it on the event loop."""
        self._forced = True
        if ask is not None:
            self._asks.append(ask)
        self._wake.set()

    async def reloads(self) -> AsyncIterator[ConfigChange]:
        """Yields every change, indefinitely; never raises. Closing or cancelling it ends the watch."""
        watch = DirectoryWatch(self._wake)
        try:
            while True:
                places = await asyncio.to_thread(self._places)
                await watch.on(places)
                self._wake.clear()
                self.started.set()
                reload = await self._look()
                if reload is not None:
                    yield reload
                if await asyncio.to_thread(self._places) == places:
                    await _wait(self._wake, self._timing.poll_s)
        finally:
            await watch.off()

    async def _look(self) -> ConfigChange | None:
        """Returns the content once it is finished; None if it has not changed."""
        self.looks += 1
        if not self._forced and not await asyncio.to_thread(self._changed):
            return None
        settling = Settling(self._looked_at(self._files), self._timing, self._count)
        before = self._text, self._failure, self._files
        while True:
            await settling.finished()
            if not self._forced and not await asyncio.to_thread(self._changed):
                return None
            forced, self._forced, asks, self._asks = self._forced, False, tuple(self._asks), []
            reload = await asyncio.to_thread(self._loaded, asks)
            settling.add(self._looked_at(self._files))
            if await settling.unchanged() and await self._stays(reload, settling):
                return reload
            self._text, self._failure, self._files = before
            self._asks, self._forced = [*asks, *self._asks], self._forced or forced

    async def _stays(self, reload: ConfigChange, settling: Settling) -> bool:
        """Waits until a change that grants access has been unchanged for long enough, or was requested. Returns
        whether it still applies."""
        if reload.asks or reload.snapshot is None:
            return True
        if not await asyncio.to_thread(self._opens, reload.snapshot):
            return True
        return await settling.stays(lambda: bool(self._asks))

    def _count(self) -> None:
        self.looks += 1

    def _loaded(self, asks: tuple[Ask, ...]) -> ConfigChange:
        try:
            return ConfigChange(self.load(), asks=asks)
        except ConfigErrors as errors:
            return ConfigChange(None, tuple(errors.problems), asks)

    def _looked_at(self, files: Mapping[str, str | None]) -> list[str]:
        """Paths of the config and of the files that it names."""
        return [os.path.abspath(self.path), *(os.path.join(self._directory, path) for path in files)]

    def _changed(self) -> bool:
        try:
            text = read_config(self.path)
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

    def _places(self) -> frozenset[Place]:
        """Directories in which a change may show: of the config, of secret files, and of every symlink on the way."""
        directories = dict.fromkeys(directories_of(self.path))
        for path in self._files:
            directories.update(dict.fromkeys(directories_of(os.path.join(self._directory, path))))
        found = (place(directory) for directory in list(directories)[:_PLACES_MAX])
        return frozenset(each for each in found if each is not None)


async def _wait(wake: asyncio.Event, poll_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(poll_s):
            await wake.wait()


def _unreadable(error: OSError) -> str:
    return f"\0{error.errno}"  # no key contains a NUL, so this differs from any content

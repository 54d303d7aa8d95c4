"""Waits until files are finished: no process writes them, and they have not changed for a moment. Decision 0015."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.config import ConfigErrors, Problem
from sidecar.config.file_marks import Mark, mark

_log = logging.getLogger("sidecar")


@dataclass(frozen=True, slots=True)
class Timing:
    """Timing of file changes, in seconds."""

    look_s: float = 0.05  # between two checks of unfinished files
    closed_s: float = 0.2  # unchanged, with no writer: editors write, close, and write again
    unknown_s: float = 2.0  # unchanged, if writers cannot be detected: longer than a copy over a network usually stalls
    opening_s: float = 4.0  # unchanged, if it grants access: longer than a script pauses between two appends
    poll_s: float = 5.0  # network file systems send no events, and a directory above the watched ones may be replaced
    warn_s: float = 10.0  # then the log says what is being waited for
    start_s: float = 30.0  # a start fails after this


TIMING: Final = Timing()


def marks(paths: Iterable[str]) -> dict[str, Mark]:
    """Blocks for about 20 µs per file."""
    return {path: mark(path) for path in paths}


def until_finished(paths: Iterable[str], timing: Timing) -> None:
    """Returns once no process writes the files; if that is unknown, once they are `unknown_s` old. Raises
    ConfigErrors for one that is still being written after `start_s`. Blocks."""
    end_s = time.monotonic() + timing.start_s
    for path in paths:
        while (now := mark(path)).written or (
            now.written is None and 0 <= time.time() - now.changed_s < timing.unknown_s
        ):
            if time.monotonic() > end_s:
                words = f"is still being written after {timing.start_s:g} s"
                hint = "start again once the writing process has closed it"
                raise ConfigErrors([Problem(path, 0, "", words, hint)])
            time.sleep(timing.look_s)


class Settling:
    """Files that are being waited for. `looked` is called at each check."""

    def __init__(self, paths: Iterable[str], timing: Timing, looked: Callable[[], None]) -> None:
        self._paths = dict.fromkeys(paths)
        self._timing = timing
        self._looked = looked
        self._marks: Mapping[str, Mark] | None = None  # of the last check
        self._since_s = self._began_s = time.monotonic()
        self._cost_s = 0.0
        self._warned = False

    def add(self, paths: Iterable[str]) -> None:
        """Adds files, which count as unfinished until they were checked."""
        self._paths.update(dict.fromkeys(paths))

    async def finished(self) -> None:
        """Returns once no process writes them and they have been unchanged for the quiet time."""
        while True:
            await self._look()
            assert self._marks is not None
            written = [path for path, one in self._marks.items() if one.written]
            unknown = any(one.written is None for one in self._marks.values())
            quiet_s = self._timing.unknown_s if unknown else self._timing.closed_s
            if not written and self._unchanged_s() >= quiet_s:
                return
            self._warn(written)
            await self._pause()

    async def unchanged(self) -> bool:
        """Whether they are as `finished` left them."""
        before = self._marks
        await self._look()
        return self._marks == before

    async def stays(self, wanted_now: Callable[[], bool]) -> bool:
        """Waits until they have been unchanged for `opening_s`. Returns False if they change before, or once
        `wanted_now()`."""
        while self._unchanged_s() < self._timing.opening_s:
            await self._pause()
            if wanted_now() or not await self.unchanged():
                return False
        return True

    async def _look(self) -> None:
        began_s = time.monotonic()
        now = await asyncio.to_thread(marks, list(self._paths))
        if now != self._marks:
            self._marks, self._since_s = now, time.monotonic()
        self._cost_s = time.monotonic() - began_s
        self._looked()

    async def _pause(self) -> None:
        # Checking thousands of key files takes a while: spend at most a fifth of a core on it.
        await asyncio.sleep(max(self._timing.look_s, 4 * self._cost_s))

    def _unchanged_s(self) -> float:
        return time.monotonic() - self._since_s

    def _warn(self, written: list[str]) -> None:
        if self._warned or time.monotonic() - self._began_s < self._timing.warn_s:
            return
        self._warned = True
        if written:
            _log.warning(
                "%s: another process has it open for writing; it is read once that process has closed it", written[0]
            )
        else:
            _log.warning("%s: keeps changing; it is read once it has stopped changing", next(iter(self._paths)))

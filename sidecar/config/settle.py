"""Waits until files are finished: nobody writes them, and they have been unchanged for a moment. Decision 0015."""

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
    """Times of following files, in seconds."""

    look_s: float = 0.05  # between two looks at files that are not finished
    closed_s: float = 0.2  # unchanged, and nobody has them open: editors write, close, and write again
    unknown_s: float = (
        2.0  # unchanged, where writers cannot be seen: longer than a copy over a network stalls as a rule
    )
    opening_s: float = 4.0  # unchanged, where it opens something: longer than a script pauses between two appends
    poll_s: float = 5.0  # network file systems send no events, and a directory above what is watched may be swapped
    warn_s: float = 10.0  # then the log says what is waited for
    start_s: float = 30.0  # a start fails after that


TIMING: Final = Timing()


def marks(paths: Iterable[str]) -> dict[str, Mark]:
    """Blocks for about 20 us a file."""
    return {path: mark(path) for path in paths}


def until_finished(paths: Iterable[str], timing: Timing) -> None:
    """Returns once nobody writes the files; where nobody can tell, once they are `unknown_s` old. Raises ConfigErrors for
    one that is still written after `start_s`. Blocks."""
    end_s = time.monotonic() + timing.start_s
    for path in paths:
        while (now := mark(path)).written or (
            now.written is None and 0 <= time.time() - now.changed_s < timing.unknown_s
        ):
            if time.monotonic() > end_s:
                words = f"is still being written after {timing.start_s:g} s"
                hint = "start again once whatever has it open for writing is done"
                raise ConfigErrors([Problem(path, 0, "", words, hint)])
            time.sleep(timing.look_s)


class Settling:
    """Some files on their way to being finished. `looked` is called at each look."""

    def __init__(self, paths: Iterable[str], timing: Timing, looked: Callable[[], None]) -> None:
        self._paths = dict.fromkeys(paths)
        self._timing = timing
        self._looked = looked
        self._marks: Mapping[str, Mark] | None = None  # of the last look
        self._since_s = self._began_s = time.monotonic()
        self._cost_s = 0.0
        self._warned = False

    def add(self, paths: Iterable[str]) -> None:
        """Further files; they are not finished before they were looked at."""
        self._paths.update(dict.fromkeys(paths))

    async def finished(self) -> None:
        """Returns once nobody writes them and they have been unchanged for the quiet time."""
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
        """Waits until they have been unchanged for `opening_s`; False when they change before or `wanted_now()`."""
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
        # Thousands of key files take a while to look at: at most a fifth of a core goes into it.
        await asyncio.sleep(max(self._timing.look_s, 4 * self._cost_s))

    def _unchanged_s(self) -> float:
        return time.monotonic() - self._since_s

    def _warn(self, written: list[str]) -> None:
        if self._warned or time.monotonic() - self._began_s < self._timing.warn_s:
            return
        self._warned = True
        if written:
            _log.warning("%s: open for writing in some process; it is read once that has closed it", written[0])
        else:
            _log.warning("%s: keeps changing; it is read once it rests", next(iter(self._paths)))

"""Reports changes in a set of directories, which may vary."""

from __future__ import annotations

import asyncio
import os
import threading

from watchfiles import Change, awatch

# Events of one write are grouped; a directory that keeps changing is reported anyway.
_QUIET_MS = 50
_BUSY_MS = 400
# Linux also gives up after 40 symlinks.
_SYMLINKS_MAX = 40

Place = tuple[str, int, int]  # directory, device, inode: a replaced directory is a different place


class DirectoryWatch:
    """Runs watchfiles on a set of directories that may vary."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._places: frozenset[Place] = frozenset()
        self._stop = threading.Event()
        self._task: asyncio.Task[None] | None = None
        self._gone = False

    async def on(self, places: frozenset[Place]) -> None:
        """Returns once the directories are watched, or cannot be; then only polling is left."""
        if self._task is not None and not self._task.done() and places == self._places and not self._gone:
            return
        await self.off()
        self._places, self._stop, self._gone = places, threading.Event(), False
        directories = [directory for directory, _, _ in places]
        self._task = asyncio.create_task(self._notice(directories))
        # awatch sets up its watches before its first await, which is within the task's first step.
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
            async for changes in awatch(
                *directories,
                watch_filter=None,
                debounce=_BUSY_MS,
                step=_QUIET_MS,
                recursive=False,
                stop_event=self._stop,
            ):
                # A directory that was removed and made again at once may have its inode again: the place is the same, but
                # the kernel's watch went with the old one.
                self._gone = self._gone or any(
                    change is Change.deleted and path in directories for change, path in changes
                )
                self._wake.set()
        except (OSError, RuntimeError):  # a directory has just been removed, or the system has no watches left
            return


def directories_of(path: str) -> list[str]:
    """The directory of the path, of its real path, and of every symlink in between."""
    try:
        found = [os.path.dirname(os.path.abspath(path)), os.path.dirname(os.path.realpath(path))]
        for _ in range(_SYMLINKS_MAX):
            if not os.path.islink(path):
                break
            path = os.path.join(os.path.dirname(path), os.readlink(path))
            found.append(os.path.dirname(os.path.abspath(path)))
    except (OSError, ValueError):  # a literal key need not be a valid path
        return []
    return found


def place(directory: str) -> Place | None:
    try:
        status = os.stat(directory)
    except (OSError, ValueError):
        return None
    return (directory, status.st_dev, status.st_ino) if os.path.isdir(directory) else None

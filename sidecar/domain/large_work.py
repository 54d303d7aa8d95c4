"""Work on large bodies, beside the event loop.

Reading, translating and writing a body of 31 MB takes 0.1 to 5 s. It is done in a thread, one such piece of work at a time,
and the loop takes the interpreter back every SWITCH_S: a small call waits for a moment at each of its turns, and for the
longest single step in C, which is one pass over the bytes (20 to 40 ms for 31 MB). More threads would not be faster, as they
share one interpreter, and would leave the loop a smaller part of it.

Freed memory goes back to the system: blocks of this size are mapped each by itself, and what small ones leave free in between
is handed back a moment after the last large body. Without that a worker keeps what its busiest second needed.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

# Below this the work takes a millisecond or two, and a thread costs a tenth of one.
LARGE_BYTES = 256 * 1024
# How long the thread may keep the interpreter while the loop wants it. Python's own value is 5 ms, and a small call wants it ten
# times. Costs nothing while no large body is there.
SWITCH_S = 0.0005
# After the last large body: a burst is one such time.
_TRIM_AFTER_S = 0.5
# glibc's mallopt(3). Set by hand, the sizes stay: by itself it raises both with each large block, up to 32 and 64 MB.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES = 4 * 1024 * 1024

_Given = ParamSpec("_Given")
_Done = TypeVar("_Done")


class _Lane:
    """The thread, and the time after it."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(1, thread_name_prefix="large-work")
        self._trim: asyncio.TimerHandle | None = None

    def used(self) -> None:
        loop = asyncio.get_running_loop()
        if self._trim is not None:
            self._trim.cancel()
        self._trim = loop.call_later(_TRIM_AFTER_S, lambda: self.executor.submit(_give_back))


_LANE = _Lane()


async def off_loop(
    size_bytes: int, work: Callable[_Given, _Done], *given: _Given.args, **named: _Given.kwargs
) -> _Done:
    """What `work` gives, which reads or writes so many bytes: done here where they are few, else in the thread. Pure work only:
    it may still run when its caller has gone."""
    if size_bytes <= LARGE_BYTES:
        return work(*given, **named)
    try:
        return await asyncio.get_running_loop().run_in_executor(_LANE.executor, lambda: work(*given, **named))
    finally:
        _LANE.used()


def prepare_process() -> None:
    """Once, in a process that serves."""
    sys.setswitchinterval(SWITCH_S)
    libc: Any = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # another C library gives back by itself, or not at all
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def _give_back() -> None:
    libc: Any = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)

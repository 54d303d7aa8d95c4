"""Processes large bodies without blocking the event loop.

Reading, translating and writing a body of 31 MB takes 0.1 to 5 s. This happens in a thread, one piece of work at a
time, and the event loop regains the GIL every SWITCH_S. A small call is delayed a little in each of its turns, and
by the longest single step in C, which is one pass over the bytes (20 to 40 ms for 31 MB). More threads would not be
faster, since they share the GIL, and would leave the loop a smaller share of it.

Freed memory is returned to the system: blocks of this size are mapped individually, and small free blocks are
trimmed shortly after the last large body. Otherwise a worker would keep the memory of its busiest second.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

# Below this, the work takes a millisecond or two, and a thread adds a tenth of one.
LARGE_BYTES = 256 * 1024
# How long the thread may keep the GIL while the loop waits for it. Python's default is 5 ms, and a small call needs
# the GIL ten times. Costs nothing without large bodies.
SWITCH_S = 0.0005
# Delay after the last large body, so that memory is trimmed once per burst.
_TRIM_AFTER_S = 0.5
# glibc's mallopt(3). Once set, both thresholds stay; by default glibc raises them with each large block, up to 32
# and 64 MB.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES = 4 * 1024 * 1024

_Given = ParamSpec("_Given")
_Done = TypeVar("_Done")


class _Lane:
    """The worker thread, and the trimming of memory afterwards."""

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
    """Runs `work`, which reads or writes `size_bytes` bytes: inline if they are few, otherwise in the thread.
    Returns its result. Only for pure functions, since the work may outlive a cancelled caller."""
    if size_bytes <= LARGE_BYTES:
        return work(*given, **named)
    try:
        return await asyncio.get_running_loop().run_in_executor(_LANE.executor, lambda: work(*given, **named))
    finally:
        _LANE.used()


def prepare_process() -> None:
    """Call once in a process that serves."""
    sys.setswitchinterval(SWITCH_S)
    libc: Any = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # other C libraries lack mallopt and decide on their own
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def _give_back() -> None:
    libc: Any = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)

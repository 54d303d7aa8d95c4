"""Bounds one step of a call by the call's time, sync and async. `end_s` is a reading of time.monotonic()."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager


@asynccontextmanager
async def async_within(end_s: float) -> AsyncGenerator[None, None]:
    """Cancels its block when the time is up. Raises TimeoutError."""
    async with asyncio.timeout(max(0.0, end_s - time.monotonic())):
        yield


@contextmanager
def within(end_s: float) -> Iterator[None]:
    """Raises TimeoutError if the time was up when the block ended: a waiting thread is woken by its socket's own
    timeout."""
    yield
    if time.monotonic() > end_s:
        raise TimeoutError

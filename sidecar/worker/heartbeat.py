"""A worker's signs of life: the event loop says to the supervisor that it turns, and for how long it did not.

A timer of the loop itself ticks four times a second: what holds the loop (a long computation, a blocking call, a stopped
process) holds the timer. With the supervisor's end it costs 0.6 ms of CPU a second, whatever the load.
"""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from sidecar.control.channel import Beat, Channel

# What callers notice. Shorter holds are in the overhead's histogram.
HELD_S = 1.0
# A hold is measured to a tick, always as the shorter.
_TICK_S = 0.25


async def beat(channel: Channel, beat_s: float) -> NoReturn:
    """Sends a `Beat` at once, every `beat_s` and after each hold of more than HELD_S, until it is cancelled. While the supervisor
    does not read, beats are left out and holds are kept for the next one."""
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

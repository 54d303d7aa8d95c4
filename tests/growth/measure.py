"""Whether what a function costs grows like its input: two sizes, compared within one run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

# Eight times the input may cost so many times as much. Linear is 8, with caches and noise up to 15; quadratic is 64.
TIMES = 8
FACTOR_MAX = 20.0
# Five looks before a verdict: a busy machine makes one slow, never one fast.
_LOOKS = 5
_AGAIN_TIMES = 2
# Below this at the large size nothing can be told, and nothing needs to be: 32 MiB of it would take less than a second.
_NOTHING_S_PER_BYTE = 20e-9


def cost_s(run: Callable[[Any], object], made: Any, times: int) -> float:
    """CPU seconds of this thread for one of so many runs in a row."""
    began_s = time.thread_time()
    for _ in range(times):
        run(made)
    return (time.thread_time() - began_s) / times


def growth(make: Callable[[int], Any], run: Callable[[Any], object], size: int) -> float:
    """How many times as much `TIMES` times `size` costs. `make(size)` is not measured; `size` is about bytes.

    What looks too steep is measured again at a larger size: what is quadratic stays so, what only left the processor's caches
    on a busy machine does not."""
    factor = _growth(make, run, size)
    return factor if factor < FACTOR_MAX else _growth(make, run, size * _AGAIN_TIMES)


def _growth(make: Callable[[int], Any], run: Callable[[Any], object], size: int) -> float:
    small, large = make(size), make(size * TIMES)
    run(make(16))  # what is made at the first use
    factor = float("inf")
    gc.disable()
    try:
        small_s = large_s = float("inf")
        for _ in range(_LOOKS):
            # As long a time for both: what a busy neighbour takes of the processor, it takes of either.
            small_s = min(small_s, cost_s(run, small, TIMES))
            large_s = min(large_s, cost_s(run, large, 1))
            if large_s < size * TIMES * _NOTHING_S_PER_BYTE:
                return 0.0
            factor = large_s / small_s
            if factor < FACTOR_MAX:
                break
    finally:
        gc.enable()
    return factor

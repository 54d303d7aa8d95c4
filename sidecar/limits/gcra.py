"""The rate limit as arithmetic: one 64-bit number per bucket, and functions from it to it. No clock, no store.

The number is a bucket's "theoretical arrival time" in nanoseconds: when all that was let in so far will have drained away. It is
the generic cell rate algorithm (ITU-T I.371): a bucket of `count` that is empty at first lets `count` units in at once, and from
then on one for each `interval_ns`. In any stretch of time W at most `count` + W / `interval_ns` units get in, and on top of that
what calls still under way had reserved at its beginning and then gave back.
"""

from __future__ import annotations

from typing import NamedTuple

NS = 1_000_000_000
# How many windows a bucket can be behind. Calls that took more than they had reserved are charged in full, which may lock a
# bucket for a while; a provider's absurd usage figure, or a clock that jumped back, must not lock it for years.
_BEHIND_WINDOWS_MAX = 10


class Rate(NamedTuple):
    """`units` in `window_ns`; a unit drains in `interval_ns`. Nanoseconds are whole, so the window is longer than what was
    configured by less than `units` nanoseconds: the limit is never exceeded, and 1,000,000 a second at worst 0.1 % stricter."""

    units: int
    interval_ns: int
    window_ns: int


class Taken(NamedTuple):
    """What became of a reservation. `cost` is what was charged, 0 where it was refused; `tat_ns` is the bucket's new state then
    as before. `retry_after_ns`: when the same cost would get in, if nobody else came. `reset_ns`: until the bucket is empty."""

    tat_ns: int
    allowed: bool
    cost: int
    remaining: int
    retry_after_ns: int
    reset_ns: int


def rate_of(count: int, per_s: int) -> Rate:
    """`per_s` is at least 1. A count of 0 lets nothing through."""
    if count < 1:
        return Rate(0, per_s * NS, 0)
    interval_ns = -(-per_s * NS // count)
    return Rate(count, interval_ns, count * interval_ns)


def take(tat_ns: int, now_ns: int, cost: int, rate: Rate) -> Taken:
    """Reserves `cost` units, or says when they can be had.

    A cost above the whole count is charged as the count, so such a call gets in once the bucket is empty; `settle` then charges
    the rest, and those after it wait. To refuse it for ever would be wrong: a cost is an estimate.
    """
    count, interval_ns, window_ns = rate
    if count < 1:
        return Taken(tat_ns, False, 0, 0, interval_ns, 0)
    if tat_ns > now_ns + (_BEHIND_WINDOWS_MAX + 1) * window_ns:
        tat_ns = now_ns + (_BEHIND_WINDOWS_MAX + 1) * window_ns
    if cost > count:
        cost = count
    used_ns = tat_ns - now_ns if tat_ns > now_ns else 0
    wanted_ns = used_ns + cost * interval_ns
    if wanted_ns > window_ns:
        remaining = (window_ns - used_ns) // interval_ns if used_ns < window_ns else 0
        return Taken(tat_ns, False, 0, remaining, wanted_ns - window_ns, used_ns)
    return Taken(now_ns + wanted_ns, True, cost, (window_ns - wanted_ns) // interval_ns, 0, wanted_ns)


def settle(tat_ns: int, difference: int, rate: Rate) -> int:
    """The state after it turned out that `difference` units more (or fewer) than reserved were used: the same as if the truth had
    been known when they were reserved."""
    return tat_ns + difference * rate.interval_ns


def used_ns(tat_ns: int, now_ns: int) -> int:
    """Until the bucket is empty."""
    return max(0, tat_ns - now_ns)

"""Rate limiting as pure arithmetic on one 64-bit number per bucket. No clock, no storage.

The number is the bucket's "theoretical arrival time" in nanoseconds: when everything that was let in so far will
have drained. This is the generic cell rate algorithm (ITU-T I.371): an empty bucket of `count` lets `count` units in
at once, and one more every `interval_ns`. In any period W at most `count` + W / `interval_ns` units get in, plus
what running calls had reserved at its beginning and then returned.
"""

from __future__ import annotations

from typing import NamedTuple

NS = 1_000_000_000
# How many windows a bucket may be behind. Calls that used more than they reserved are charged in full, which may
# lock a bucket for a while; an absurd usage report or a clock that jumped back must not lock it for years.
_BEHIND_WINDOWS_MAX = 10


class Rate(NamedTuple):
    """`units` per `window_ns`; one unit drains in `interval_ns`. Nanoseconds are integers, so the window exceeds
    the configured one by less than `units` nanoseconds: the limit is never exceeded, and at 1,000,000 per second
    it is at most 0.1 % stricter."""

    units: int
    interval_ns: int
    window_ns: int


class Taken(NamedTuple):
    """The result of a reservation.

    `cost`: units charged; 0 if refused.
    `tat_ns`: the new state of the bucket, unchanged if refused.
    `retry_after_ns`: when the same cost would fit if nothing else came.
    `reset_ns`: until the bucket is empty.
    """

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
    """Reserves `cost` units, or computes when they will be available.

    A cost above the count is charged as the count, so that such a call gets in once the bucket is empty; `settle`
    then charges the rest, and later calls wait. Refusing it permanently would be wrong, since a cost is an estimate.
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
    """Returns the state after `difference` units more (or fewer) than reserved were used, as if that had been known
    from the beginning."""
    return tat_ns + difference * rate.interval_ns


def used_ns(tat_ns: int, now_ns: int) -> int:
    """Nanoseconds until the bucket is empty."""
    return max(0, tat_ns - now_ns)

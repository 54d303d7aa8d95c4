"""What a call may use and what it has used: all limits and budgets of its route, of its consumer and of both, at once.

`admit` before anything is sent; the call's Record settles both once, at its end.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Sequence

from adapters import GatewayError, Kind
from sidecar.domain.call import Call, Headers
from sidecar.domain.snapshot import Route
from sidecar.gateway.estimate import Estimate, estimate_tokens
from sidecar.limits import Level, Refused, Reservation
from sidecar.spend.budgets import Warned
from sidecar.spend.calendar import timestamp
from sidecar.spend.cost import TokenCounts
from sidecar.spend.tiers import dearest, requested_tier
from sidecar.store.contract import Admitted, Needs, Rules, Store
from sidecar.telemetry.metrics import Metrics

_MS_NS = 1_000_000


class CallNeeds:
    """What a call will use at most. Worked out when it is read: most calls have no limit on tokens, and their provider counts."""

    __slots__ = ("_call", "_route", "known")

    def __init__(self, call: Call, route: Route, estimate: Estimate | None) -> None:
        """`estimate`: of a large call, as that takes time."""
        self._call = call
        self._route = route
        self.known = estimate  # None: nobody has asked

    @property
    def estimate(self) -> Estimate:
        if self.known is None:
            self.known = estimate_tokens(self._call)
        return self.known

    @property
    def tokens(self) -> int:
        return self.estimate.total

    @property
    def micro_dollars(self) -> int:
        """By the price of the dearest upstream that may serve the call."""
        tokens = TokenCounts(*self.estimate)
        priced = ((each.price, each) for each in self._route.upstreams if each.price is not None)
        return max((dearest(price, requested_tier(self._call, each), tokens) for price, each in priced), default=0)


class Meter:
    """One per worker. Without a store nothing is limited and no money is counted."""

    def __init__(self, metrics: Metrics, store: Store | None = None) -> None:
        self._metrics = metrics
        self.store = store

    def admit(self, store: Store, rules: Rules, needs: Needs) -> Admitted | Awaitable[Admitted]:
        """Takes what a call needs of every limit and budget, or nothing of any. Raises rate_limited with the time after which the
        call would pass (none where that depends on when other calls end), or budget_exceeded with the time until the budget
        resets; either has `headers` that show the state of the limits."""
        try:
            found = store.admit(rules, needs)
        except GatewayError:
            self._metrics.limited(rules.route, "budget").inc()
            raise
        return self._checked(rules, found) if isinstance(found, Admitted) else self._admitted_later(rules, found)

    async def _admitted_later(self, rules: Rules, answer: Awaitable[Admitted]) -> Admitted:
        try:
            found = await answer
        except GatewayError as error:
            if error.kind is Kind.BUDGET_EXCEEDED:
                self._metrics.limited(rules.route, "budget").inc()
            raise
        return self._checked(rules, found)

    def _checked(self, rules: Rules, found: Admitted) -> Admitted:
        refused = found.reservation.refused
        if refused is not None:
            self._metrics.limited(rules.route, refused.bucket.unit).inc()
            raise _rate_limited(refused, limit_headers(*found))
        return found

    async def close(self) -> None:
        if self.store is not None:
            await self.store.close()


def _rate_limited(refused: Refused, headers: Headers) -> GatewayError:
    text = f"The limit {refused.bucket.words} is reached."
    wait_ns = refused.retry_after_ns
    if wait_ns is None:
        return GatewayError(Kind.RATE_LIMITED, f"{text} Retry when another call has ended.", headers=headers)
    # Up to the next whole millisecond: a wait that is written in milliseconds and cut must not end too early.
    wait_s = (wait_ns // _MS_NS + 1) / 1000
    text = f"{text} Retry in {duration(wait_ns)}."
    return GatewayError(Kind.RATE_LIMITED, text, retry_after_s=wait_s, headers=headers)


def limit_headers(reservation: Reservation, warned: Warned | None) -> Headers:
    """x-ratelimit-*, x-sidecar-budget, and how a store decided that was not there."""
    stored = (("x-sidecar-store", reservation.note),) if reservation.note else ()
    return (*_rate_headers(reservation.levels), *_budget_header(warned), *stored)


def _rate_headers(levels: Sequence[Level]) -> list[tuple[str, str]]:
    """OpenAI's headers: of all buckets for requests the one with least left, and of those for tokens."""
    headers: list[tuple[str, str]] = []
    for unit in ("requests", "tokens"):
        found = [level for level in levels if level.bucket.unit == unit]
        if found:
            bucket, remaining, reset_ns = found[0] if len(found) == 1 else min(found, key=lambda level: level.remaining)
            headers.append((f"x-ratelimit-limit-{unit}", str(bucket.count)))
            headers.append((f"x-ratelimit-remaining-{unit}", str(remaining)))
            headers.append((f"x-ratelimit-reset-{unit}", duration(reset_ns)))
    return headers


def _budget_header(warned: Warned | None) -> list[tuple[str, str]]:
    if warned is None:
        return []
    share = math.floor(warned.used * 100)
    return [
        (
            "x-sidecar-budget",
            f"{share}% of {warned.allowance.header_text}; resets at {timestamp(warned.resets_s)}",
        )
    ]


def duration(ns: int) -> str:
    """As OpenAI writes it: 0s, 20ms, 1s, 6m0s, 1h2m3.5s. Rounded up to milliseconds."""
    ms = -(-ns // _MS_NS)
    if 0 < ms < 1000:
        return f"{ms}ms"
    whole_s, rest_ms = divmod(ms, 1000)
    minutes, seconds = divmod(whole_s, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{seconds}.{rest_ms:03}".rstrip("0") if rest_ms else str(seconds)
    if hours:
        return f"{hours}h{minutes}m{text}s"
    return f"{minutes}m{text}s" if minutes else f"{text}s"

"""Enforces limits and budgets: those of the call's route, of its consumer, and of both combined.

`admit` reserves before anything is sent; the call's Record settles the reservation at its end.
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
    """The most a call can use. Computed on first access, because most calls have no token limit and the provider
    counts anyway."""

    __slots__ = ("_call", "_route", "known")

    def __init__(self, call: Call, route: Route, estimate: Estimate | None) -> None:
        """Pass `estimate` if it is already known, as it is for a large call."""
        self._call = call
        self._route = route
        self.known = estimate  # None until it is needed

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
        """The cost at the most expensive upstream that may serve the call."""
        tokens = TokenCounts(*self.estimate)
        priced = ((each.price, each) for each in self._route.upstreams if each.price is not None)
        return max((dearest(price, requested_tier(self._call, each), tokens) for price, each in priced), default=0)


class Meter:
    """Enforces limits for one worker. Without a store nothing is limited and no money is counted."""

    def __init__(self, metrics: Metrics, store: Store | None = None) -> None:
        self._metrics = metrics
        self.store = store

    def admit(self, store: Store, rules: Rules, needs: Needs) -> Admitted | Awaitable[Admitted]:
        """Reserves everything the call needs, or nothing.

        Raises rate_limited with the time until the call would pass (None if that depends on other calls ending), or
        budget_exceeded with the time until the budget resets. Both carry `headers` with the state of the limits.
        """
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
    # Round up to the next whole millisecond: a client that truncates the wait must not retry too early.
    wait_s = (wait_ns // _MS_NS + 1) / 1000
    text = f"{text} Retry in {duration(wait_ns)}."
    return GatewayError(Kind.RATE_LIMITED, text, retry_after_s=wait_s, headers=headers)


def limit_headers(reservation: Reservation, warned: Warned | None) -> Headers:
    """Returns x-ratelimit-*, x-sidecar-budget and, if the store was unavailable, x-sidecar-store with how it
    decided instead."""
    stored = (("x-sidecar-store", reservation.note),) if reservation.note else ()
    return (*_rate_headers(reservation.levels), *_budget_header(warned), *stored)


def _rate_headers(levels: Sequence[Level]) -> list[tuple[str, str]]:
    """OpenAI's x-ratelimit-* headers, for the tightest request limit and the tightest token limit."""
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
    """Formats a duration as OpenAI does, rounded up to milliseconds: 0s, 20ms, 1s, 6m0s, 1h2m3.5s."""
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

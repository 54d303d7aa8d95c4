"""What a call may use and what it has used: all limits and budgets of its route, of its consumer and of both, at once.

`admit` before anything is sent, `settle` once at the end. The gateway calls nothing else of limits and spend.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from typing import Any

from adapters import GatewayError, Kind
from sidecar.domain.call import Call, Headers
from sidecar.domain.snapshot import Consumer, Route, Upstream
from sidecar.gateway.estimate import Estimate, estimate_tokens
from sidecar.limits import Level, Refused, Reservation
from sidecar.spend.budgets import Warned
from sidecar.spend.calendar import timestamp
from sidecar.spend.cost import TokenCounts, billed_of, counts_input, counts_output, tokens_of
from sidecar.spend.ledger import Charge
from sidecar.spend.tiers import charged, dearest, requested_tier
from sidecar.store.contract import Admitted, Rules, Store, made_of
from sidecar.telemetry.metrics import Metrics

# What is worked out for pairs of route and consumer; many more than call at one time. Then it is emptied.
_RULES_MAX = 20_000
_MS_NS = 1_000_000
_NOTHING = Reservation((), [], [])


class Meter:
    """One per worker. Without a store nothing is limited and no money is counted."""

    def __init__(self, metrics: Metrics, store: Store | None = None) -> None:
        self.metrics = metrics
        self.store = store
        self._rules: dict[tuple[str, str], Rules] = {}

    def admit(self, call: Call, route: Route, estimate: Estimate | None = None) -> Ticket | Awaitable[Ticket]:
        """Takes what the call needs of every limit and budget, or nothing of any. Raises rate_limited with the time after which
        the call would pass (none where that depends on when other calls end), or budget_exceeded with the time until the
        budget resets; either has `headers` that show the state of the limits. `estimate`: of a large call, as that takes time."""
        rules = self._rules_of(route, call.consumer)
        ticket = Ticket(self, call, route, rules, estimate)
        if self.store is None or not (rules.buckets or rules.allowances):
            return ticket
        try:
            found = self.store.admit(rules, ticket)
        except GatewayError:
            self.metrics.limited(route.name, "budget").inc()
            raise
        if isinstance(found, Admitted):
            return self._admitted(ticket, found)
        return self._admitted_later(ticket, found)

    async def _admitted_later(self, ticket: Ticket, answer: Awaitable[Admitted]) -> Ticket:
        try:
            found = await answer
        except GatewayError as error:
            if error.kind is Kind.BUDGET_EXCEEDED:
                self.metrics.limited(ticket.route.name, "budget").inc()
            raise
        return self._admitted(ticket, found)

    def _admitted(self, ticket: Ticket, found: Admitted) -> Ticket:
        ticket.reservation, ticket.warned = found
        refused = ticket.reservation.refused
        if refused is not None:
            self.metrics.limited(ticket.route.name, refused.bucket.unit).inc()
            raise _rate_limited(refused, ticket.headers())
        return ticket

    def _rules_of(self, route: Route, consumer: Consumer) -> Rules:
        key = (route.name, consumer.name)
        rules = self._rules.get(key)
        if rules is None or any(a is not b for a, b in zip(rules.made_of, made_of(route, consumer), strict=True)):
            if len(self._rules) >= _RULES_MAX:
                self._rules.clear()
            rules = self._rules[key] = Rules(route, consumer)
        return rules

    async def close(self) -> None:
        if self.store is not None:
            await self.store.close()


class Ticket:
    """One admitted call. `settle` ends it, whatever happened; a second time it does nothing."""

    __slots__ = ("_call", "_estimate", "_meter", "_open", "_rules", "reservation", "route", "warned")

    def __init__(self, meter: Meter, call: Call, route: Route, rules: Rules, estimate: Estimate | None) -> None:
        self._meter = meter
        self._call = call
        self._rules = rules
        self._estimate = estimate
        self._open = True
        self.route = route
        self.reservation = _NOTHING
        self.warned: Warned | None = None

    @property
    def estimate(self) -> Estimate:
        """Worked out when it is needed: most calls have no limit on tokens, and a provider that counts."""
        if self._estimate is None:
            self._estimate = estimate_tokens(self._call)
        return self._estimate

    @property
    def tokens(self) -> int:
        return self.estimate.total

    @property
    def micro_dollars(self) -> int:
        """By the price of the dearest upstream that may serve the call."""
        tokens = TokenCounts(*self.estimate)
        priced = ((each.price, each) for each in self.route.upstreams if each.price is not None)
        return max((dearest(price, requested_tier(self._call, each), tokens) for price, each in priced), default=0)

    def settle(
        self, *, ok: bool, usage: Any, output_tokens: int, upstream: Upstream | None, service_tier: str = ""
    ) -> None:
        """`usage` is the provider's (None: it gave none), `output_tokens` an estimate of what was produced, `upstream` the one
        that produced it, `service_tier` the tier that it says it did that in.

        A call that failed before it produced anything gives everything back. What was produced is charged, also when the call
        broke off: by the provider's count, else by estimate."""
        if not self._open:
            return
        self._open = False
        if not (ok or usage is not None or output_tokens > 0):
            if self._meter.store is not None and self.reservation is not _NOTHING:
                self._meter.store.release(self._rules, self.reservation)
            return
        tokens, estimated = self._tokens(ok, usage, output_tokens)
        reported = None
        if usage is not None and usage.HasField("provider_cost_micro_dollars"):
            reported = usage.provider_cost_micro_dollars
        billed = tokens if estimated else billed_of(usage, tokens)
        money = self._money(billed, upstream, service_tier, estimated=estimated or not ok)
        self._charge(tokens, upstream, reported, money, estimated=estimated)

    def _money(self, tokens: TokenCounts, upstream: Upstream | None, tier: str, *, estimated: bool) -> int | None:
        """None where the price is not known."""
        if upstream is None or upstream.price is None:
            return None
        price = upstream.price
        requested = requested_tier(self._call, upstream) if price.tiers else ""
        return charged(price, tier, requested, tokens, estimated=estimated)

    def _tokens(self, ok: bool, usage: Any, output_tokens: int) -> tuple[TokenCounts, bool]:
        """And whether they are estimated, in part at least. What a provider counts at the beginning of a stream that breaks off
        is its prompt; a count it leaves out, or gives as something that is no count, is not free."""
        if usage is None:
            return TokenCounts(self.estimate.prompt, output_tokens), True
        tokens = tokens_of(usage)
        guessed = tokens
        if not counts_input(usage):
            guessed = guessed._replace(input=self.estimate.prompt)
        if tokens.output < output_tokens and not (ok and counts_output(usage)):
            guessed = guessed._replace(output=output_tokens)
        return guessed, guessed is not tokens

    def _charge(
        self,
        tokens: TokenCounts,
        upstream: Upstream | None,
        reported: int | None,
        money: int | None,
        *,
        estimated: bool,
    ) -> None:
        meter, route, consumer = self._meter, self._rules.route, self._rules.consumer
        if upstream is not None and upstream.cost == "provider":
            if reported is None:
                meter.metrics.unreported_costs(route).inc()
            else:
                # Of a call that broke off, what was reported may be what it had cost by then.
                money = max(money or 0, reported) if estimated else reported
        unpriced = tokens.total if money is None else 0
        if reported:
            meter.metrics.provider_spend(route, consumer).inc(reported)
        if money:
            meter.metrics.spend(route, consumer).inc(money)
        if unpriced:
            meter.metrics.unpriced_tokens(route).inc(unpriced)
        if estimated and tokens.total:
            meter.metrics.estimated_tokens(route).inc(tokens.total)
        if meter.store is not None:
            charge = Charge(
                1,
                tokens.input,
                tokens.output,
                tokens.cached,
                tokens.written,
                tokens.reasoning,
                money or 0,
                unpriced,
                tokens.total if estimated else 0,
                reported or 0,
            )
            meter.store.settle(self._rules, self.reservation, charge)

    def headers(self) -> Headers:
        """The state of the limits when the call was admitted or refused, or once it was settled."""
        note = self.reservation.note
        stored = (("x-sidecar-store", note),) if note else ()
        return (*rate_headers(self.reservation.levels), *_budget_header(self.warned), *stored)


def _rate_limited(refused: Refused, headers: Headers) -> GatewayError:
    text = f"The limit {refused.bucket.words} is reached."
    wait_ns = refused.retry_after_ns
    if wait_ns is None:
        return GatewayError(Kind.RATE_LIMITED, f"{text} Retry when another call has ended.", headers=headers)
    # Up to the next whole millisecond: a wait that is written in milliseconds and cut must not end too early.
    wait_s = (wait_ns // _MS_NS + 1) / 1000
    text = f"{text} Retry in {duration(wait_ns)}."
    return GatewayError(Kind.RATE_LIMITED, text, retry_after_s=wait_s, headers=headers)


def rate_headers(levels: list[Level]) -> list[tuple[str, str]]:
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

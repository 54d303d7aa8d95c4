"""Counts, logs and charges one call. `close()` is called exactly once per call, whatever happened."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from adapters import LEFT_OUT, GatewayError
from sidecar.domain.call import Call, Headers
from sidecar.domain.snapshot import Upstream
from sidecar.gateway.estimate import Estimate, estimate_tokens
from sidecar.gateway.meter import CallNeeds, Meter, limit_headers
from sidecar.gateway.outcome import OK, outcome_of
from sidecar.limits import Reservation
from sidecar.spend.budgets import Warned
from sidecar.spend.cost import TokenCounts, billed_of
from sidecar.spend.ledger import Charge
from sidecar.spend.tiers import charged, requested_tier
from sidecar.store.contract import Admitted, Rules, Store
from sidecar.telemetry.access_log import AccessLog, CallEntry
from sidecar.telemetry.metrics import OTHER, STALE_CONNECTION, UNKNOWN_ROUTE, Metrics

_NOTHING = Reservation((), [], [])
# For English text and any tokenizer in use; other scripts have fewer characters per token.
_CHARS_PER_TOKEN = 4


class Record:
    """Collects what is known about a running call, and holds its reservation of limits and budgets.

    `waited_s`: seconds spent waiting for the provider or a slow client; the rest is the gateway's overhead.
    `usage`: the last usage reported.
    `service_tier`: the tier that the provider reports, if the price depends on it.
    `upstream`: name of the upstream that was called last.
    `attempts`: number of requests sent to upstreams.
    `output_events`, `output_chars`: output so far, to charge a stream that breaks off without usage.
    `resent`: whether a kept-alive connection turned out to be closed; others may be, too.
    `left_out`: members of the request that the last upstream cannot express.
    """

    __slots__ = (
        "_call",
        "_consumer",
        "_estimate",
        "_first_output_s",
        "_in_flight",
        "_log",
        "_metrics",
        "_name",
        "_operation",
        "_request_id",
        "_reservation",
        "_route",
        "_rules",
        "_started",
        "_store",
        "_upstream",
        "_warned",
        "attempts",
        "left_out",
        "outcome",
        "output_chars",
        "output_events",
        "resent",
        "service_tier",
        "upstream",
        "usage",
        "waited_s",
    )

    def __init__(
        self,
        metrics: Metrics,
        operation: str,
        route: str,
        consumer: str,
        request_id: str = "",
        log: AccessLog | None = None,
    ) -> None:
        """`route` is the name that the caller used."""
        self._metrics = metrics
        self._log = log
        self._operation = operation
        self._name = route
        self._consumer = consumer
        self._request_id = request_id
        self._route = UNKNOWN_ROUTE
        self._started = time.perf_counter()
        self._first_output_s: float | None = None
        self._in_flight: Any = None
        self._store: Store | None = None
        self._rules: Rules | None = None  # set once the call is admitted
        self._reservation = _NOTHING
        self._warned: Warned | None = None
        self._upstream: Upstream | None = None
        self.attempts = 0
        self.left_out: tuple[str, ...] = ()
        self.upstream: str | None = None
        self.outcome = OK
        self.output_chars = 0
        self.output_events = 0
        self.resent = False
        self.service_tier = ""
        self.usage: Any = None
        self.waited_s = 0.0

    def set_route(self, name: str) -> None:
        """Sets the route label of the metrics. It is always the route's own name, never what a caller wrote."""
        self._route = name
        self._in_flight = in_flight = self._metrics.in_flight(name)
        in_flight.inc()

    def admit_unlimited(self, meter: Meter, call: Call, rules: Rules, estimate: Estimate | None) -> None:
        """Admits a call that no rule limits. `estimate` is given for a large call, whose estimate takes time."""
        self._call = call
        self._estimate = estimate
        self._store = meter.store
        self._rules = rules

    def admit(self, meter: Meter, call: Call, rules: Rules, needs: CallNeeds) -> Awaitable[None] | None:
        """Reserves what the call needs of limits and budgets. Await the result unless it is None. Raises what
        Meter.admit raises."""
        found = None if meter.store is None else meter.admit(meter.store, rules, needs)
        if found is not None and not isinstance(found, Admitted):
            return self._admitted_later(meter, call, rules, needs, found)
        self.admit_unlimited(meter, call, rules, needs.known)
        if found is not None:
            self._reservation, self._warned = found
        return None

    async def _admitted_later(
        self, meter: Meter, call: Call, rules: Rules, needs: CallNeeds, answer: Awaitable[Admitted]
    ) -> None:
        self._reservation, self._warned = await answer
        self.admit_unlimited(meter, call, rules, needs.known)

    def _prompt_tokens(self) -> int:
        """The estimated prompt tokens, for when the provider does not report them."""
        return (self._estimate or estimate_tokens(self._call)).prompt

    @property
    def headers(self) -> Headers:
        """The headers of limits and budgets: as of admission, or as of settlement once the call has ended."""
        if self._reservation is _NOTHING and self._warned is None:
            return ()
        return limit_headers(self._reservation, self._warned)

    def attempt_begins(self, name: str, upstream: Upstream, left_out: tuple[str, ...]) -> None:
        """Notes that a request goes to an upstream. `attempt_ends` must follow."""
        self.upstream = name
        self._upstream = upstream
        self.left_out = left_out
        self.attempts += 1
        self.usage = None  # what a failed attempt reported does not count
        self.service_tier = ""

    def attempt_ends(self, provider: str, outcome: str) -> None:
        self._metrics.upstream_requests(provider, outcome).inc()

    def count_retry(self, error: GatewayError, *, elsewhere: bool) -> None:
        """Counts a retry after `error`, at the same upstream or at another (`elsewhere`)."""
        count = self._metrics.fallbacks if elsewhere else self._metrics.retries
        count(self._route, error.kind.value).inc()

    def count_resend(self) -> None:
        """Counts a resend: the kept-alive connection was closed, so the request went out again on a fresh one."""
        self.resent = True
        self._metrics.retries(self._route, STALE_CONNECTION).inc()

    def mark_first_output(self) -> None:
        self._first_output_s = time.perf_counter() - self._started

    def failed(self, error: BaseException, *, deadline: float | None) -> None:
        """`deadline` is the caller's, in event loop time; a cancellation at that time counts as a timeout."""
        self.outcome = outcome_of(error, deadline)

    def close(self) -> None:
        total_s = time.perf_counter() - self._started
        metrics = self._metrics
        if self._in_flight is not None:
            self._in_flight.dec()
        overhead_s = None
        if self.attempts and self.outcome == OK:  # the waits of a call that broke off were not all measured
            overhead_s = max(0.0, total_s - self.waited_s)
        usage = self.usage
        tokens = None if usage is None else tokens_of(usage)
        series = metrics.calls(self._route, self._operation, self._consumer)
        series.count(self.outcome, total_s, self._first_output_s, overhead_s, tokens)
        for name in self.left_out:
            metrics.left_out(self._route, name if name in LEFT_OUT else OTHER).inc()
        if self._log is not None:
            entry = CallEntry(
                time.time(),
                self._request_id,
                self._consumer,
                self._name,
                self._operation,
                self.outcome,
                self.upstream,
                self.attempts,
                tokens.input if tokens is not None and counts_input(usage) else None,
                tokens.output if tokens is not None and counts_output(usage) else None,
                self._first_output_s,
                total_s,
                overhead_s,
            )
            self._log.add(entry)
        if self._rules is not None:
            self._settle(self._rules, tokens)

    def _settle(self, rules: Rules, tokens: TokenCounts | None) -> None:
        """Settles the reservation.

        A call that failed before it produced output releases everything. Otherwise the call is charged, even if it
        broke off: by the provider's count, else by estimate, at the price of the last upstream.
        """
        ok, usage, store = self.outcome == OK, self.usage, self._store
        output = max(self.output_events, -(-self.output_chars // _CHARS_PER_TOKEN))  # an event is at least one token
        if not ok and usage is None and not output:
            if store is not None and self._reservation is not _NOTHING:
                store.release(rules, self._reservation)
            return
        if tokens is None:
            used = TokenCounts(self._prompt_tokens(), output)
        else:
            used = tokens
            # A broken stream may have reported only its prompt. A missing or invalid count does not make a call free.
            if not counts_input(usage):
                used = used._replace(input=self._prompt_tokens())
            if tokens.output < output and not (ok and counts_output(usage)):
                used = used._replace(output=output)
        charge = self._charge(used, ok=ok, estimated=used is not tokens)
        if store is not None:
            store.settle(rules, self._reservation, charge)

    def _charge(self, tokens: TokenCounts, *, ok: bool, estimated: bool) -> Charge:
        """Updates the money metrics and returns what the call adds to the ledger."""
        metrics, usage, upstream = self._metrics, self.usage, self._upstream
        reported: int | None = None
        if usage is not None and usage.HasField("provider_cost_micro_dollars"):
            reported = usage.provider_cost_micro_dollars
        money: int | None = None  # None if the price is unknown
        if upstream is not None and (price := upstream.price) is not None:
            requested = requested_tier(self._call, upstream) if price.tiers else ""
            billed = tokens if estimated else billed_of(usage, tokens)
            money = charged(price, self.service_tier, requested, billed, estimated=estimated or not ok)
        if upstream is not None and upstream.cost == "provider":
            if reported is None:
                metrics.unreported_costs(self._route).inc()
            else:
                # If the call broke off, the reported cost may be what it had cost up to some earlier point.
                money = max(money or 0, reported) if estimated else reported
        total = tokens.input + tokens.output
        unpriced = total if money is None else 0
        if reported:
            metrics.provider_spend(self._route, self._consumer).inc(reported)
        if money:
            metrics.spend(self._route, self._consumer).inc(money)
        if unpriced:
            metrics.unpriced_tokens(self._route).inc(unpriced)
        if estimated and total:
            metrics.estimated_tokens(self._route).inc(total)
        input_, output, cached, written, reasoning, _ = tokens
        guessed = total if estimated else 0
        return Charge(1, input_, output, cached, written, reasoning, money or 0, unpriced, guessed, reported or 0)


def tokens_of(usage: Any) -> TokenCounts:
    """Converts a canonical Usage. Corrects counts that providers have been seen to report: negative numbers become 0,
    a part is at most its whole. A lone total counts as input, the larger part of most calls."""
    input_ = max(0, usage.input_tokens)
    output = max(0, usage.output_tokens)
    if not (input_ or output) and _only_total(usage):
        input_ = max(0, usage.total_tokens)
    cached, reasoning = usage.cached_input_tokens, usage.reasoning_tokens
    if cached:
        cached = min(max(0, cached), input_)
    if reasoning:
        reasoning = min(max(0, reasoning), output)
    written = written_1h = 0
    if usage.cache_write_tokens:
        written = min(max(0, usage.cache_write_tokens), input_ - cached)
        written_1h = min(max(0, usage.cache_write_1h_tokens), written)
    return TokenCounts(input_, output, cached, written, reasoning, written_1h)


def counts_input(usage: Any) -> bool:
    """Whether a canonical Usage (None if there is none) gives the input tokens."""
    return usage is not None and (usage.HasField("input_tokens") or _only_total(usage))


def counts_output(usage: Any) -> bool:
    """Whether a canonical Usage (None if there is none) gives the output tokens, on their own or in a total."""
    return usage is not None and (usage.HasField("output_tokens") or usage.total_tokens > 0)


def _only_total(usage: Any) -> bool:
    parts = usage.HasField("input_tokens") or usage.HasField("output_tokens")
    return usage.HasField("total_tokens") and not parts

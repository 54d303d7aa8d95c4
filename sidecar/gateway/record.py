"""What one call is counted as. Exactly one `close()` per call, whatever happened."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from adapters import LEFT_OUT, GatewayError, Kind
from sidecar.spend.cost import TokenCounts, counts_input, counts_output, tokens_of
from sidecar.telemetry.access_log import AccessLog, CallEntry
from sidecar.telemetry.metrics import OTHER, STALE_CONNECTION, UNKNOWN_ROUTE, Metrics

OK = "ok"
_TOKEN_KINDS = ("input", "output", "cached_input", "cache_write", "reasoning")
# Our own timer and the caller's deadline ring together; a cancellation this close to the deadline is the deadline.
DEADLINE_SLACK_S = 0.05
# Of English text, by every tokenizer in use; other scripts have fewer characters a token.
_CHARS_PER_TOKEN = 4


def outcome_of(error: BaseException, deadline: float | None) -> str:
    """`deadline` is the caller's, on the loop's clock: a cancellation at that time is a timeout."""
    match error:
        case GatewayError():
            return error.kind.value
        case asyncio.CancelledError() | GeneratorExit():
            late = deadline is not None and asyncio.get_running_loop().time() >= deadline - DEADLINE_SLACK_S
            return (Kind.UPSTREAM_TIMEOUT if late else Kind.CANCELLED).value
        case _:
            return Kind.INTERNAL.value


class Record:
    """Collects what is known of a call while it runs.

    `waited_s` is time spent waiting for the provider or for a client that is slow to take a piece; what is left of the total
    is the gateway's own. `usage` is the last one seen, `service_tier` what the provider says it did the work in, where the price
    depends on it. `upstream` is the one called last, `attempts` how many times one
    was called. Of a stream, `output_events` and `output_chars` count what was produced, for one that breaks off before its usage
    comes (bodies that pass are not opened: no characters there). `resent`: a kept connection had ended, as others may have.
    `left_out` names what of the request had no place at the upstream called last.
    """

    __slots__ = (
        "_consumer",
        "_first_output_s",
        "_in_flight",
        "_log",
        "_metrics",
        "_name",
        "_operation",
        "_request_id",
        "_route",
        "_started",
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
        *,
        request_id: str = "",
        log: AccessLog | None = None,
    ) -> None:
        self._metrics = metrics
        self._request_id = request_id
        self._log = log
        self._operation = operation
        self._name = route
        self._route = UNKNOWN_ROUTE
        self._consumer = consumer
        self._started = time.perf_counter()
        self._first_output_s: float | None = None
        self._in_flight: Any = None
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

    def route_known(self, name: str) -> None:
        """Of the route that answers: that is the label, never what a caller writes."""
        self._route = name
        self._in_flight = self._metrics.in_flight(self._route)
        self._in_flight.inc()

    def attempt_begins(self, upstream: str, left_out: tuple[str, ...]) -> None:
        """Once for each time an upstream is called; `attempt_ends` follows."""
        self.upstream = upstream
        self.left_out = left_out
        self.attempts += 1
        self.usage = None  # that of an attempt that failed before its output is nobody's
        self.service_tier = ""

    def attempt_ends(self, provider: str, outcome: str) -> None:
        self._metrics.upstream_requests(provider, outcome).inc()

    def retries(self, error: GatewayError, *, elsewhere: bool) -> None:
        """After this failure another attempt follows, at another upstream or the same."""
        count = self._metrics.fallbacks if elsewhere else self._metrics.retries
        count(self._route, error.kind.value).inc()

    def resends(self) -> None:
        """A kept connection had ended unnoticed: the request went out again on a fresh one."""
        self.resent = True
        self._metrics.retries(self._route, STALE_CONNECTION).inc()

    @property
    def output_tokens_estimated(self) -> int:
        """Of a stream: an event is a token at least, with most providers."""
        return max(self.output_events, -(-self.output_chars // _CHARS_PER_TOKEN))

    def first_output(self) -> None:
        self._first_output_s = time.perf_counter() - self._started

    def failed(self, error: BaseException, *, deadline: float | None) -> None:
        """`deadline` is the caller's, on the loop's clock: a cancellation at that time is a timeout."""
        self.outcome = outcome_of(error, deadline)

    def close(self) -> None:
        total_s = time.perf_counter() - self._started
        metrics = self._metrics
        if self._in_flight is not None:
            self._in_flight.dec()
        metrics.requests(self._route, self._operation, self._consumer, self.outcome).inc()
        metrics.duration(self._route, self._operation).observe(total_s)
        if self._first_output_s is not None:
            metrics.first_token(self._route, self._operation).observe(self._first_output_s)
        overhead_s = None
        if self.attempts and self.outcome == OK:  # a call that broke off has waits that nobody measured to their end
            overhead_s = max(0.0, total_s - self.waited_s)
            metrics.overhead(self._route, self._operation).observe(overhead_s)
        tokens = None if self.usage is None else tokens_of(self.usage)
        if self._log is not None:
            self._log.add(self._entry(total_s, overhead_s, tokens))
        for name in self.left_out:
            metrics.left_out(self._route, name if name in LEFT_OUT else OTHER).inc()
        if tokens is not None:
            for kind, count in zip(_TOKEN_KINDS, tokens, strict=False):
                if count:
                    metrics.tokens(self._route, self._consumer, kind).inc(count)

    def _entry(self, total_s: float, overhead_s: float | None, tokens: TokenCounts | None) -> CallEntry:
        usage = self.usage
        return CallEntry(
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

"""What one call is counted as. Exactly one `close()` per call, whatever happened."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from adapters import GatewayError, Kind
from sidecar.metrics import UNKNOWN_ROUTE, Metrics

OK = "ok"
_TOKEN_KINDS = (
    ("input", "input_tokens"),
    ("output", "output_tokens"),
    ("cached_input", "cached_input_tokens"),
    ("cache_write", "cache_write_tokens"),
    ("reasoning", "reasoning_tokens"),
)
# Our own timer and the caller's deadline ring together; a cancellation this close to the deadline is the deadline.
_DEADLINE_SLACK_S = 0.05


class Record:
    """Collects what is known of a call while it runs.

    `waited_s` is time spent waiting for the provider or for a client that is slow to take a piece; what is left of the total
    is the gateway's own. `usage` is the last one seen.
    """

    __slots__ = (
        "_consumer",
        "_first_output_s",
        "_in_flight",
        "_metrics",
        "_name",
        "_operation",
        "_provider",
        "_route",
        "_started",
        "outcome",
        "usage",
        "waited_s",
    )

    def __init__(self, metrics: Metrics, operation: str, route: str, consumer: str) -> None:
        self._metrics = metrics
        self._operation = operation
        self._name = route
        self._route = UNKNOWN_ROUTE
        self._consumer = consumer
        self._started = time.perf_counter()
        self._first_output_s: float | None = None
        self._provider: str | None = None
        self._in_flight: Any = None
        self.outcome = OK
        self.usage: Any = None
        self.waited_s = 0.0

    def route_known(self) -> None:
        """The name is a route's: only then does it become a label."""
        self._route = self._name
        self._in_flight = self._metrics.in_flight(self._route)
        self._in_flight.inc()

    def upstream_begins(self, provider: str) -> None:
        self._provider = provider

    def first_output(self) -> None:
        self._first_output_s = time.perf_counter() - self._started

    def failed(self, error: BaseException, *, deadline: float | None) -> None:
        """`deadline` is the caller's, on the loop's clock: a cancellation at that time is a timeout."""
        match error:
            case GatewayError():
                self.outcome = error.kind.value
            case asyncio.CancelledError() | GeneratorExit():
                late = deadline is not None and asyncio.get_running_loop().time() >= deadline - _DEADLINE_SLACK_S
                self.outcome = (Kind.UPSTREAM_TIMEOUT if late else Kind.CANCELLED).value
            case _:
                self.outcome = Kind.INTERNAL.value

    def close(self) -> None:
        total_s = time.perf_counter() - self._started
        metrics = self._metrics
        if self._in_flight is not None:
            self._in_flight.dec()
        metrics.requests(self._route, self._operation, self._consumer, self.outcome).inc()
        metrics.duration(self._route, self._operation).observe(total_s)
        if self._first_output_s is not None:
            metrics.first_token(self._route, self._operation).observe(self._first_output_s)
        if self._provider is None:
            return
        if self.outcome == OK:  # a call that broke off has waits that nobody measured to their end
            metrics.overhead(self._route, self._operation).observe(max(0.0, total_s - self.waited_s))
        metrics.upstream_requests(self._provider, self.outcome).inc()
        if self.usage is not None:
            for kind, member in _TOKEN_KINDS:
                if count := getattr(self.usage, member):
                    metrics.tokens(self._route, self._consumer, kind).inc(count)

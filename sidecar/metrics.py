"""Every metric of a worker, each with its worst-case number of series. Labels come from config and user file only.

R routes (plus "unknown"), O = 5 operations, C consumers (the user file's plus "local"), K = 23 outcomes ("ok" and the kinds),
P providers in use, U upstreams of all routes. Series appear with their first use. The supervisor's own metrics are in metrics of
its package.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

# LLM latencies: cached embeddings answer in milliseconds, long reasoning takes minutes. 5 ms to 10 min.
LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
# What the gateway itself adds: hundreds of microseconds when all is well.
OVERHEAD_BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)

UNKNOWN_ROUTE = "unknown"
# A reason of sidecar_retries_total beside the kinds of failure.
STALE_CONNECTION = "stale_connection"
# A member of sidecar_left_out_total that is not of the closed list.
OTHER = "other"


class _Labelled:
    """A metric whose label children are cached: `labels()` takes a lock and checks its arguments on each call."""

    __slots__ = ("_children", "_metric")

    def __init__(self, metric: Any) -> None:
        self._metric = metric
        self._children: dict[tuple[str, ...], Any] = {}

    def __call__(self, *labels: str) -> Any:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*labels)
        return child


class Metrics:
    """The worker's metrics. Made once per process, after `use_directory`."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry

        self.registry = CollectorRegistry()  # this process's own
        self._of_calls()
        self._of_upstreams()
        self._of_money()

    def _of_calls(self) -> None:
        # R x O x C x K at worst; in practice a route has one task and a consumer few outcomes
        self.requests = self._counter(
            "sidecar_requests_total", "Calls ended, by outcome.", "route", "operation", "consumer", "outcome"
        )
        # R x 2 operations a task x 20
        self.duration = self._seconds(
            "sidecar_request_duration_seconds",
            "From decoded request to last byte.",
            LATENCY_BUCKETS_S,
            "route",
            "operation",
        )
        # R x 2 x 20
        self.first_token = self._seconds(
            "sidecar_time_to_first_token_seconds",
            "From decoded request to the first semantic output of a stream.",
            LATENCY_BUCKETS_S,
            "route",
            "operation",
        )
        # R x 2 x 15
        self.overhead = self._seconds(
            "sidecar_overhead_seconds",
            "The gateway's own share of a call: total minus waiting for the provider and for the client.",
            OVERHEAD_BUCKETS_S,
            "route",
            "operation",
        )
        # R x C x 5 kinds: input, output, cached_input, cache_write, reasoning
        self.tokens = self._counter(
            "sidecar_tokens_total", "Tokens, as the provider counted them.", "route", "consumer", "kind"
        )
        # R x 24: adapters.ECHOES and other
        self.left_out = self._counter(
            "sidecar_left_out_total",
            "Calls whose messages had a member that the provider has no place for, by its name.",
            "route",
            "member",
        )
        # R
        self.in_flight = self._gauge("sidecar_in_flight", "Calls under way.", "route")

    def _of_upstreams(self) -> None:
        # P x K
        self.upstream_requests = self._counter(
            "sidecar_upstream_requests_total", "Attempts at providers ended, by outcome.", "provider", "outcome"
        )
        # R x 4: the transient kinds and stale_connection
        self.retries = self._counter(
            "sidecar_retries_total", "Further attempts at the same upstream, by what went before.", "route", "reason"
        )
        # R x 7: the kinds after which another upstream may help
        self.fallbacks = self._counter(
            "sidecar_fallbacks_total", "Further attempts at another upstream, by what went before.", "route", "reason"
        )
        # U: upstreams, counted in each route they stand in
        self.upstream_ejected = self._gauge(
            "sidecar_upstream_ejected", "Workers that leave an upstream alone.", "route", "upstream"
        )
        # U x 6 reasons
        self.ejections = self._counter(
            "sidecar_upstream_ejections_total",
            "Times an upstream was left alone for a while, by why.",
            "route",
            "upstream",
            "reason",
        )
        # U
        self.credentials_rejected = self._counter(
            "sidecar_upstream_credentials_rejected_total",
            "Calls that a provider refused because of the gateway's key: somebody has to mend it.",
            "route",
            "upstream",
        )

    def _of_money(self) -> None:
        # R x C
        self.spend = self._counter(
            "sidecar_spend_micro_dollars_total", "Money spent, in millionths of a dollar.", "route", "consumer"
        )
        # R
        self.unpriced_tokens = self._counter(
            "sidecar_unpriced_tokens_total", "Tokens whose price is not known: no money was counted for them.", "route"
        )
        # R
        self.estimated_tokens = self._counter(
            "sidecar_estimated_tokens_total", "Tokens that no provider counted: the gateway's own estimate.", "route"
        )
        # R x 4: requests, tokens, concurrent, budget
        self.limited = self._counter(
            "sidecar_limited_total", "Calls refused by the gateway's own limits and budgets.", "route", "unit"
        )

    def _counter(self, name: str, text: str, *labels: str) -> _Labelled:
        from prometheus_client import Counter

        return _Labelled(Counter(name, text, labels, registry=self.registry))

    def _seconds(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> _Labelled:
        from prometheus_client import Histogram

        return _Labelled(Histogram(name, text, labels, buckets=buckets, registry=self.registry))

    def _gauge(self, name: str, text: str, *labels: str) -> _Labelled:
        """Summed over the workers that live."""
        from prometheus_client import Gauge

        return _Labelled(Gauge(name, text, labels, registry=self.registry, multiprocess_mode="livesum"))


def use_directory(directory: str, slot: int) -> None:
    """Lets this process's metrics live in files of `directory` named by `slot`, so that worker generations share files.

    Must run before any metric exists. What a killed predecessor in the slot left in its gauges is removed.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    from prometheus_client import multiprocess, values

    multiprocess.mark_process_dead(slot, directory)
    make: Callable[..., Any] = values.MultiProcessValue
    values.ValueClass = make(process_identifier=lambda: slot)

"""All metrics of a worker, each with its maximum number of series. Labels only come from the config and the users
file.

R routes (plus "unknown"), O = 5 operations, C consumers (the users file's plus "local"), K outcomes ("ok" and the
kinds: tools/metrics_tables.py lists them), P providers in use, U upstreams of all routes. Series are created on first
use. The supervisor's own metrics are in supervisor/metrics/.
"""

from __future__ import annotations

import logging

from sidecar.telemetry.metric_memory import MetricMemory
from sidecar.telemetry.series import Calls, Labelled, Number, Timing

_log = logging.getLogger(__name__)
# LLM latencies: cached embeddings take milliseconds, long reasoning takes minutes. 5 ms to 10 min.
LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
# The store: a round trip on one machine takes 0.1 ms, and no call waits longer than `timeout`, 50 ms.
STORE_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
# The gateway's own overhead: normally hundreds of microseconds.
OVERHEAD_BUCKETS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)

UNKNOWN_ROUTE = "unknown"
# A reason in sidecar_retries_total, in addition to the kinds of failure.
STALE_CONNECTION = "stale_connection"
# Label of sidecar_left_out_total for members outside the known list.
OTHER = "other"


class Metrics:
    """The worker's metrics, in `memory` that the supervisor reads; without it, private to this process."""

    def __init__(self, memory: MetricMemory | None = None) -> None:
        self._memory = memory
        self.calls = Calls(self)
        self._of_calls()
        self._of_upstreams()
        self._of_money()
        self._of_store()

    def _of_calls(self) -> None:
        # R x O x C x K at worst; in practice a route has one task, and a consumer few outcomes
        self.requests = self._counter(
            "sidecar_requests_total", "Calls that have ended, by outcome.", "route", "operation", "consumer", "outcome"
        )
        # R x 2 operations per task x 20
        self.duration = self._seconds(
            "sidecar_request_duration_seconds",
            "Seconds from the decoded request to the last byte of the answer.",
            LATENCY_BUCKETS_S,
            "route",
            "operation",
        )
        # R x 2 x 20
        self.first_token = self._seconds(
            "sidecar_time_to_first_token_seconds",
            "Seconds from the decoded request to the first output of a stream.",
            LATENCY_BUCKETS_S,
            "route",
            "operation",
        )
        # R x 2 x 15
        self.overhead = self._seconds(
            "sidecar_overhead_seconds",
            "Seconds that the gateway itself adds to a call: the total without waiting for the provider and the "
            "client.",
            OVERHEAD_BUCKETS_S,
            "route",
            "operation",
        )
        # R x C x 5 kinds: input, output, cached_input, cache_write, reasoning
        self.tokens = self._counter(
            "sidecar_tokens_total",
            "Tokens of calls by kind, as the provider counted them.",
            "route",
            "consumer",
            "kind",
        )
        # R x 130 at most: adapters.LEFT_OUT and other
        self.left_out = self._counter(
            "sidecar_left_out_total",
            "Calls whose request had a member that was left out because the provider does not support it, by member.",
            "route",
            "member",
        )
        # R
        self.in_flight = self._gauge("sidecar_in_flight", "Calls in progress.", "route")

    def _of_upstreams(self) -> None:
        # P x K
        self.upstream_requests = self._counter(
            "sidecar_upstream_requests_total",
            "Attempts at providers that have ended, by outcome.",
            "provider",
            "outcome",
        )
        # R x 4: the transient kinds and stale_connection
        self.retries = self._counter(
            "sidecar_retries_total", "Retries on the same upstream, by the error that caused them.", "route", "reason"
        )
        # R x 7: the kinds after which another upstream may help
        self.fallbacks = self._counter(
            "sidecar_fallbacks_total",
            "Fallbacks to another upstream, by the error that caused them.",
            "route",
            "reason",
        )
        # U: upstreams, counted in each route that has them
        self.upstream_ejected = self._gauge(
            "sidecar_upstream_ejected", "Number of workers that have ejected an upstream.", "route", "upstream"
        )
        # U x 6 reasons
        self.ejections = self._counter(
            "sidecar_upstream_ejections_total",
            "Times an upstream was ejected, by reason.",
            "route",
            "upstream",
            "reason",
        )
        # U
        self.credentials_rejected = self._counter(
            "sidecar_upstream_credentials_rejected_total",
            "Calls that a provider refused because the gateway's key was rejected; fix the key.",
            "route",
            "upstream",
        )

    def _of_money(self) -> None:
        # R x C
        self.spend = self._counter(
            "sidecar_spend_micro_dollars_total", "Spend in millionths of a dollar.", "route", "consumer"
        )
        # R x C
        self.provider_spend = self._counter(
            "sidecar_provider_spend_micro_dollars_total",
            "Spend as reported by providers, in millionths of a dollar, whether or not it was charged.",
            "route",
            "consumer",
        )
        # R
        self.unreported_costs = self._counter(
            "sidecar_unreported_costs_total",
            "Calls with `cost: provider` whose provider reported no cost; they were charged by tokens and price.",
            "route",
        )
        # R
        self.unpriced_tokens = self._counter(
            "sidecar_unpriced_tokens_total", "Tokens without a known price; they are not charged.", "route"
        )
        # R
        self.estimated_tokens = self._counter(
            "sidecar_estimated_tokens_total", "Tokens that no provider counted, as estimated by the gateway.", "route"
        )
        # R x 4: requests, tokens, concurrent, budget
        self.limited = self._counter(
            "sidecar_limited_total", "Calls refused by limits and budgets of the gateway, by unit.", "route", "unit"
        )

    def _of_store(self) -> None:
        """Only if limits and budgets are shared with other gateways."""
        # 1
        self.store_unreachable = self._gauge(
            "sidecar_store_unreachable", "Number of workers that cannot reach the store of limits and budgets."
        )
        # 1
        self.store_unsent = self._gauge(
            "sidecar_store_unsent_settles", "Ended calls that the store of limits and budgets has not booked yet."
        )
        # 1
        self.store_lost = self._counter(
            "sidecar_store_lost_settles_total",
            "Ended calls that are lost to the store of limits and budgets because too many were waiting for it.",
        )
        # 14
        self.store_seconds = self._seconds(
            "sidecar_store_script_seconds",
            "Time from sending a script with admissions to the store until its answer.",
            STORE_BUCKETS_S,
        )
        # 7 at most: combinations of the policies of a call's limits and budgets
        self.store_decisions = self._counter(
            "sidecar_store_decisions_total",
            "Calls that were decided without the store of limits and budgets, by policy.",
            "policy",
        )

    def _counter(self, name: str, text: str, *labels: str) -> Labelled[Number]:
        """Prometheus names the metric without the _total of its samples."""
        metric = name.removesuffix("_total")
        return Labelled(labels, lambda of: Number(self._memory, "counter", metric, name, of, text))

    def _seconds(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Labelled[Timing]:
        return Labelled(labels, lambda of: Timing(self._memory, name, of, text, bounds))

    def _gauge(self, name: str, text: str, *labels: str) -> Labelled[Number]:
        """Summed over the living workers."""
        return Labelled(labels, lambda of: Number(self._memory, "gauge", name, name, of, text))


def memory_of(fd: int) -> MetricMemory | None:
    """Opens a file of sidecar.telemetry.metric_memory. Its counters continue from the slot's last worker. Returns
    None, with a log line, if it cannot be used."""
    try:
        return MetricMemory(fd)
    except (OSError, ValueError) as error:
        _log.error("The metrics of this worker are missing: their memory cannot be used (%s).", error)
        return None

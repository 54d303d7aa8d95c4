"""Numbers with labels: counters, gauges and histograms of a worker, each series in shared memory."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from sidecar.telemetry.metric_memory import MetricMemory

if TYPE_CHECKING:
    from sidecar.telemetry.metrics import Metrics

_TOKEN_KINDS = ("input", "output", "cached_input", "cache_write", "reasoning")
_KINDS_AT = range(len(_TOKEN_KINDS))


class Number:
    """One series in `memory`; private to this process without it, or if it is full. For one thread."""

    __slots__ = ("_key", "_memory", "_place", "value")

    def __init__(
        self, memory: MetricMemory | None, kind: str, metric: str, name: str, labels: Mapping[str, str], text: str
    ) -> None:
        self._memory = memory
        self._key = b""
        self._place: int | None = None
        self.value = 0.0
        if memory is not None:
            self._key = json.dumps([kind, metric, name, labels, text], sort_keys=True).encode()
            self._place = memory.place(self._key)
            if self._place is not None:
                self.value = memory.numbers[self._place]

    def inc(self, amount: float = 1.0) -> None:
        self.value = value = self.value + amount
        if self._place is None:
            self.set(value)
        else:
            self._memory.numbers[self._place] = value  # type: ignore[union-attr]

    def dec(self) -> None:
        self.inc(-1.0)

    def set(self, value: float) -> None:
        self.value = value
        memory = self._memory
        if memory is None:
            return
        if self._place is None:
            self._place = memory.place_again(self._key)
            if self._place is None:
                return
        memory.numbers[self._place] = value


class Timing:
    """A histogram: a sum, and one number per bucket, each counting only values above the previous bound."""

    __slots__ = ("_bounds", "_buckets", "_sum")

    def __init__(
        self, memory: MetricMemory | None, metric: str, labels: Mapping[str, str], text: str, bounds: Sequence[float]
    ) -> None:
        self._bounds = bounds
        self._sum = Number(memory, "histogram", metric, f"{metric}_sum", labels, text)
        self._buckets = [
            Number(memory, "histogram", metric, f"{metric}_bucket", {**labels, "le": bound}, text)
            for bound in (*(repr(float(each)) for each in bounds), "+Inf")
        ]

    def observe(self, value: float) -> None:
        self._sum.inc(value)
        self._buckets[bisect_left(self._bounds, value)].inc()


_Made = TypeVar("_Made", Number, Timing)


class Labelled(Generic[_Made]):
    """A metric: one series per set of labels, created on first use."""

    __slots__ = ("_make", "_names", "_series")

    def __init__(self, names: tuple[str, ...], make: Callable[[Mapping[str, str]], _Made]) -> None:
        self._names = names
        self._make: Callable[[Mapping[str, str]], _Made] = make
        self._series: dict[tuple[str, ...], _Made] = {}

    def __call__(self, *labels: str) -> _Made:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = self._make(dict(zip(self._names, labels, strict=True)))
        return series


class CallSeries:
    """The series of one consumer's calls of one route and operation, looked up once; each is created on first use."""

    __slots__ = ("_duration", "_first_token", "_labels", "_metrics", "_outcomes", "_overhead", "_tokens")

    def __init__(self, metrics: Metrics, route: str, operation: str, consumer: str) -> None:
        self._metrics = metrics
        self._labels = (route, operation, consumer)
        self._outcomes: dict[str, Number] = {}
        self._duration = metrics.duration(route, operation)
        self._overhead: Timing | None = None
        self._first_token: Timing | None = None
        self._tokens: list[Number | None] = [None] * len(_TOKEN_KINDS)

    def count(
        self,
        outcome: str,
        total_s: float,
        first_output_s: float | None,
        overhead_s: float | None,
        tokens: Sequence[int] | None,
    ) -> None:
        """Counts a call that has ended. `tokens` are in the order of spend.cost.TokenCounts. None: unknown, or not
        measured."""
        number = self._outcomes.get(outcome)
        if number is None:
            number = self._outcomes[outcome] = self._metrics.requests(*self._labels, outcome)
        number.inc()
        self._duration.observe(total_s)
        if first_output_s is not None:
            if self._first_token is None:
                self._first_token = self._metrics.first_token(*self._labels[:2])
            self._first_token.observe(first_output_s)
        if overhead_s is not None:
            if self._overhead is None:
                self._overhead = self._metrics.overhead(*self._labels[:2])
            self._overhead.observe(overhead_s)
        if tokens is not None:
            for kind, count in zip(_KINDS_AT, tokens, strict=False):
                if count:
                    (self._tokens[kind] or self._of_tokens(kind)).inc(count)

    def _of_tokens(self, kind: int) -> Number:
        route, _, consumer = self._labels
        found = self._tokens[kind] = self._metrics.tokens(route, consumer, _TOKEN_KINDS[kind])
        return found


class Calls:
    """Counts ended calls by route, operation and consumer."""

    __slots__ = ("_metrics", "_series")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._series: dict[tuple[str, str, str], CallSeries] = {}

    def __call__(self, route: str, operation: str, consumer: str) -> CallSeries:
        key = (route, operation, consumer)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = CallSeries(self._metrics, route, operation, consumer)
        return found

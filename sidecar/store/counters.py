"""Metrics of a worker's store."""

from __future__ import annotations

from typing import Protocol

from sidecar.telemetry.metrics import Metrics


class Counters(Protocol):
    """`decided` counts calls decided without the store, by the policies of their limits and budgets."""

    def reachable(self, *, yes: bool) -> None: ...

    def answered(self, seconds: float) -> None: ...

    def unsent(self, count: int) -> None: ...

    def lost(self) -> None: ...

    def decided(self, policy: str) -> None: ...


class StoreMetrics:
    """The metrics of a worker's store."""

    def __init__(self, metrics: Metrics) -> None:
        self._unreachable = metrics.store_unreachable()
        self.answered = metrics.store_seconds().observe
        self._unsent = metrics.store_unsent()
        self._lost = metrics.store_lost()
        self._decisions = metrics.store_decisions

    def reachable(self, *, yes: bool) -> None:
        self._unreachable.set(0.0 if yes else 1.0)

    def unsent(self, count: int) -> None:
        self._unsent.set(float(count))

    def lost(self) -> None:
        self._lost.inc()

    def decided(self, policy: str) -> None:
        self._decisions(policy).inc()

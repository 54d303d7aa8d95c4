"""The upstreams of a route as candidates for a call: what is sent there, what is known of their health, which is next."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Breaker, Route, Snapshot, Upstream
from sidecar.gateway.attempt import UpstreamPlan, plan_for
from sidecar.gateway.breaker import Circuit, State
from sidecar.gateway.failure_log import FailureLog
from sidecar.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

# What makes two upstreams the same one for a breaker, in whatever routes they are. A reload that keeps it keeps their state.
_Identity = tuple[object, ...]


class Health:
    """What a worker knows of one upstream. Routes that lead to it share it."""

    __slots__ = ("_series", "circuit", "in_flight")

    def __init__(self, settings: Breaker) -> None:
        self.circuit = Circuit(settings)
        self.in_flight = 0
        self._series: list[Any] = []

    def shown_as(self, series: Any) -> None:
        if series not in self._series:  # a wildcard route has one for all of its models
            self._series.append(series)
        self.show()

    def show(self) -> None:
        """Brings the metric up to date."""
        ejected = self.circuit.state is not State.CLOSED
        for series in self._series:
            series.set(ejected)

    def forget_series(self) -> None:
        for series in self._series:
            series.set(0)
        self._series.clear()


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One upstream of one route. `name` is what callers and metrics see, different for each of a route."""

    name: str
    plan: UpstreamPlan
    health: Health
    weight: int

    @property
    def circuit(self) -> Circuit:
        return self.health.circuit


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All upstreams of a route, in its order."""

    route: Route
    all: tuple[Candidate, ...]
    only: Candidate | None = field(init=False)  # where there is one

    def __post_init__(self) -> None:
        object.__setattr__(self, "only", self.all[0] if len(self.all) == 1 else None)

    def choose(self, tried: Sequence[Candidate], now_s: float, chance: random.Random) -> Candidate | None:
        """The next upstream among those not tried that are fit for a call. Where nothing was tried there always is one:
        if all are ejected, the one whose ejection ends first."""
        fit = self._fit(tried, now_s)
        if not fit:
            return None if tried else min(self.all, key=lambda candidate: candidate.circuit.open_until_s)
        match self.route.strategy:
            case "weighted":
                weights = [candidate.weight for candidate in fit]
                return chance.choices(fit, weights)[0] if any(weights) else fit[0]
            case "least_in_flight":
                least = min(candidate.health.in_flight for candidate in fit)
                return chance.choice([candidate for candidate in fit if candidate.health.in_flight == least])
            case _:
                return fit[0]

    def another(self, tried: Sequence[Candidate], now_s: float) -> bool:
        """Whether there is a fit one among those not tried."""
        return bool(self._fit(tried, now_s))

    def _fit(self, tried: Sequence[Candidate], now_s: float) -> list[Candidate]:
        return [candidate for candidate in self.all if candidate not in tried and candidate.circuit.admits(now_s)]


class UpstreamRegistry:
    """The health of a worker's upstreams. A reload keeps that of those it keeps."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.failures: Final = FailureLog()
        self._health: dict[_Identity, Health] = {}

    def candidates_of(self, route: Route) -> Candidates:
        """Made once per route and snapshot."""
        return Candidates(route, tuple(self._candidate(route, upstream) for upstream in route.upstreams))

    def _candidate(self, route: Route, upstream: Upstream) -> Candidate:
        name = upstream.name or upstream.provider
        identity = _identity(upstream, route.breaker)
        health = self._health.get(identity)
        if health is None:
            health = self._health[identity] = Health(route.breaker)
        health.shown_as(self._metrics.upstream_ejected(route.name, name))
        return Candidate(name, plan_for(upstream, route.task), health, upstream.weight)

    def health_of(self, upstream: Upstream, settings: Breaker) -> Health | None:
        """What is known of an upstream; None where it was never called."""
        return self._health.get(_identity(upstream, settings))

    def reload(self, snapshot: Snapshot) -> None:
        for health in self._health.values():
            health.forget_series()
        if not self._health:
            return
        kept = {_identity(each, route.breaker) for route in snapshot.routes.values() for each in route.upstreams}
        self._health = {identity: health for identity, health in self._health.items() if identity in kept}

    def failed(
        self, candidates: Candidates, candidate: Candidate, now_s: float, error: GatewayError, *, probe: bool
    ) -> None:
        """Tells the circuit, the metrics and the log."""
        route = candidates.route.name
        if error.kind is Kind.UPSTREAM_REJECTED_CREDENTIALS:
            self._metrics.credentials_rejected(route, candidate.name).inc()
        reason = candidate.circuit.failed(now_s, error, probe=probe)
        if reason is not None:
            self._metrics.ejections(route, candidate.name, reason.value).inc()
            wait_s = candidate.circuit.open_until_s - now_s
            log.warning(
                "upstream %s of route %s is ejected for %.1f s: %s", candidate.name, route, wait_s, reason.value
            )
        candidate.health.show()


def _identity(upstream: Upstream, settings: Breaker) -> _Identity:
    """All models of a wildcard route are one upstream: callers choose their names, and each would be kept."""
    upstream = upstream.template or upstream
    return (upstream.provider, upstream.base_url, upstream.model, upstream.key, upstream.grant, settings)

"""The upstreams of a route as candidates for a call: what to send, how healthy each is, and which comes next."""

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

# Identifies an upstream across routes and reloads: equal identities share one breaker.
_Identity = tuple[object, ...]


class Health:
    """What a worker knows about one upstream. All routes that lead to it share this."""

    __slots__ = ("_series", "circuit", "in_flight")

    def __init__(self, settings: Breaker) -> None:
        self.circuit = Circuit(settings)
        self.in_flight = 0
        self._series: list[Any] = []

    def use_series(self, series: Any) -> None:
        if series not in self._series:  # a wildcard route uses one upstream for many models, each with its own series
            self._series.append(series)
        self.update_series()

    def update_series(self) -> None:
        """Updates the metric."""
        ejected = self.circuit.state is not State.CLOSED
        for series in self._series:
            series.set(ejected)

    def forget_series(self) -> None:
        for series in self._series:
            series.set(0)
        self._series.clear()


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One upstream of one route. Callers and metrics see `name`, which is unique within the route."""

    name: str
    plan: UpstreamPlan
    health: Health
    weight: int

    @property
    def circuit(self) -> Circuit:
        return self.health.circuit


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All upstreams of a route, in the configured order."""

    route: Route
    all: tuple[Candidate, ...]
    only: Candidate | None = field(init=False)  # set if the route has exactly one upstream

    def __post_init__(self) -> None:
        object.__setattr__(self, "only", self.all[0] if len(self.all) == 1 else None)

    def choose(self, tried: Sequence[Candidate], now_s: float, rng: random.Random) -> Candidate | None:
        """Returns the next healthy upstream that is not in `tried`, or None. If `tried` is empty there always is
        one: when all are ejected, the one whose ejection ends first."""
        healthy = self._healthy(tried, now_s)
        if not healthy:
            return None if tried else min(self.all, key=lambda candidate: candidate.circuit.open_until_s)
        match self.route.strategy:
            case "weighted":
                weights = [candidate.weight for candidate in healthy]
                return rng.choices(healthy, weights)[0] if any(weights) else healthy[0]
            case "least_in_flight":
                least = min(candidate.health.in_flight for candidate in healthy)
                return rng.choice([candidate for candidate in healthy if candidate.health.in_flight == least])
            case _:
                return healthy[0]

    def has_other(self, tried: Sequence[Candidate], now_s: float) -> bool:
        """Whether a healthy upstream is left that is not in `tried`."""
        return bool(self._healthy(tried, now_s))

    def _healthy(self, tried: Sequence[Candidate], now_s: float) -> list[Candidate]:
        return [candidate for candidate in self.all if candidate not in tried and candidate.circuit.admits(now_s)]


class UpstreamRegistry:
    """The health of all upstreams of a worker. A reload keeps the state of upstreams that stay."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.failures: Final = FailureLog()
        self._health: dict[_Identity, Health] = {}

    def candidates_of(self, route: Route) -> Candidates:
        """Returns the candidates of a route. Call it once per route and snapshot."""
        return Candidates(route, tuple(self._candidate(route, upstream) for upstream in route.upstreams))

    def _candidate(self, route: Route, upstream: Upstream) -> Candidate:
        name = upstream.name or upstream.provider
        identity = _identity(upstream, route.breaker)
        health = self._health.get(identity)
        if health is None:
            health = self._health[identity] = Health(route.breaker)
        health.use_series(self._metrics.upstream_ejected(route.name, name))
        return Candidate(name, plan_for(upstream, route.task), health, upstream.weight)

    def health_of(self, upstream: Upstream, settings: Breaker) -> Health | None:
        """Returns the health of an upstream, or None if it was never called."""
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
        """Records a failed attempt in circuit, metrics and log."""
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
        candidate.health.update_series()


def _identity(upstream: Upstream, settings: Breaker) -> _Identity:
    """All models of a wildcard route count as one upstream: callers choose the names, so one health record per name
    would be unbounded."""
    upstream = upstream.template or upstream
    return (upstream.provider, upstream.base_url, upstream.model, upstream.key, upstream.grant, settings)

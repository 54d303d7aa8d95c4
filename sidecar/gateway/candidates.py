"""The upstreams of routes as calls see them: what is sent there, what is known of their health, and which one is next."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Breaker, Route, Snapshot, Upstream
from sidecar.gateway.attempt import Plan, plan_for
from sidecar.gateway.breaker import Circuit, State
from sidecar.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

# What makes two upstreams the same one for a breaker, in whatever routes they stand. A reload that leaves it leaves their state.
_Identity = tuple[object, ...]


class Health:
    """What a worker knows of one upstream. Routes that lead to it share it."""

    __slots__ = ("_series", "circuit", "in_flight")

    def __init__(self, settings: Breaker) -> None:
        self.circuit = Circuit(settings)
        self.in_flight = 0
        self._series: list[Any] = []

    def shown_as(self, series: Any) -> None:
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
class Way:
    """One upstream of one route. `name` is what callers and metrics see, different for each of a route."""

    name: str
    plan: Plan
    health: Health
    weight: int

    @property
    def circuit(self) -> Circuit:
        return self.health.circuit


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """All upstreams of a route, in its order."""

    route: Route
    all: tuple[Way, ...]
    only: Way | None = field(init=False)  # where there is one

    def __post_init__(self) -> None:
        object.__setattr__(self, "only", self.all[0] if len(self.all) == 1 else None)

    def choose(self, tried: Sequence[Way], now_s: float, chance: random.Random) -> Way | None:
        """The next upstream among those not tried that are fit for a call. Where nothing was tried there always is one: of all
        that are left alone, that whose time is over first."""
        fit = self._fit(tried, now_s)
        if not fit:
            return None if tried else min(self.all, key=lambda way: way.circuit.open_until_s)
        match self.route.strategy:
            case "weighted":
                weights = [way.weight for way in fit]
                return chance.choices(fit, weights)[0] if any(weights) else fit[0]
            case "least_in_flight":
                least = min(way.health.in_flight for way in fit)
                return chance.choice([way for way in fit if way.health.in_flight == least])
            case _:
                return fit[0]

    def another(self, tried: Sequence[Way], now_s: float) -> bool:
        """Whether there is a fit one among those not tried."""
        return bool(self._fit(tried, now_s))

    def _fit(self, tried: Sequence[Way], now_s: float) -> list[Way]:
        return [way for way in self.all if way not in tried and way.circuit.admits(now_s)]


class Upstreams:
    """The health of a worker's upstreams. A reload keeps that of those it keeps."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._health: dict[_Identity, Health] = {}

    def ways_of(self, route: Route) -> Ways:
        """Made once per route and snapshot."""
        names = _names(route.upstreams)
        return Ways(
            route, tuple(self._way(route, each, name) for each, name in zip(route.upstreams, names, strict=True))
        )

    def _way(self, route: Route, upstream: Upstream, name: str) -> Way:
        identity = _identity(upstream, route.breaker)
        health = self._health.get(identity)
        if health is None:
            health = self._health[identity] = Health(route.breaker)
        health.shown_as(self._metrics.upstream_ejected(route.name, name))
        return Way(name, plan_for(upstream, route.task), health, upstream.weight)

    def health_of(self, upstream: Upstream, settings: Breaker) -> Health | None:
        """What is known of an upstream; None where it was never asked."""
        return self._health.get(_identity(upstream, settings))

    def reload(self, snapshot: Snapshot) -> None:
        for health in self._health.values():
            health.forget_series()
        if not self._health:
            return
        kept = {_identity(each, route.breaker) for route in snapshot.routes.values() for each in route.upstreams}
        self._health = {identity: health for identity, health in self._health.items() if identity in kept}

    def failed(self, ways: Ways, way: Way, now_s: float, error: GatewayError, *, probe: bool) -> None:
        """Tells the circuit, the metrics and the log."""
        route = ways.route.name
        if error.kind is Kind.UPSTREAM_REJECTED_CREDENTIALS:
            self._metrics.credentials_rejected(route, way.name).inc()
        reason = way.circuit.failed(now_s, error, probe=probe)
        if reason is not None:
            self._metrics.ejections(route, way.name, reason.value).inc()
            wait_s = way.circuit.open_until_s - now_s
            log.warning("upstream %s of route %s is left alone for %.1f s: %s", way.name, route, wait_s, reason.value)
        way.health.show()


def _identity(upstream: Upstream, settings: Breaker) -> _Identity:
    return (upstream.provider, upstream.base_url, upstream.model, upstream.key, upstream.grant, settings)


def _names(upstreams: tuple[Upstream, ...]) -> list[str]:
    """The names of the config, else the providers'; the second of a name is "openai-2"."""
    names: list[str] = []
    for upstream in upstreams:
        name = own = upstream.name or upstream.provider
        number = 2
        while name in names:
            name, number = f"{own}-{number}", number + 1
        names.append(name)
    return names

"""The upstreams of a route as callers may see them: whether they are ejected, and how they failed last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sidecar.domain.gateway_status import GatewayStatus, UpstreamStatus
from sidecar.domain.snapshot import Route
from sidecar.home import UpstreamView

# Keyed by route and upstream.
States = Mapping[tuple[str, str], UpstreamStatus]


def states_of(status: GatewayStatus) -> States:
    return {(each.route, each.upstream): each for each in status.upstreams}


def upstream_views(route: Route, states: States, *, texts: bool) -> tuple[UpstreamView, ...]:
    """`texts`: whether the viewer may read the failure's message, and not only its kind."""
    views = []
    for upstream in route.upstreams:
        name = upstream.name or upstream.provider
        state = states.get((route.name, name)) or UpstreamStatus(route.name, name)
        failure = state.failure
        if failure is not None and not texts:
            failure = replace(failure, text="")
        views.append(UpstreamView(name, upstream.provider, upstream.model, state.ejected_by, failure))
    return tuple(views)

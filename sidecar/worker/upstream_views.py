"""The upstreams of a route as callers may see them: ejected or not, and how they last failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sidecar.domain.gateway_status import GatewayStatus, UpstreamStatus
from sidecar.domain.snapshot import Route
from sidecar.home import UpstreamView

# By route and upstream.
States = Mapping[tuple[str, str], UpstreamStatus]


def states_of(status: GatewayStatus) -> States:
    return {(each.route, each.upstream): each for each in status.upstreams}


def upstream_views(route: Route, states: States, *, texts: bool) -> tuple[UpstreamView, ...]:
    """`texts`: whether the viewer may read what went wrong, not only of what kind it was."""
    views = []
    for upstream in route.upstreams:
        name = upstream.name or upstream.provider
        state = states.get((route.name, name)) or UpstreamStatus(route.name, name)
        failure = state.failure
        if failure is not None and not texts:
            failure = replace(failure, text="")
        views.append(UpstreamView(name, upstream.provider, upstream.model, state.ejected_by, failure))
    return tuple(views)

"""Which routes use the embedded model."""

from __future__ import annotations

from sidecar.domain.snapshot import Route, Snapshot


def uses_local_model(snapshot: Snapshot) -> bool:
    return any(map(is_local, snapshot.routes.values()))


def is_local(route: Route) -> bool:
    return any(upstream.provider == "local" for upstream in route.upstreams)

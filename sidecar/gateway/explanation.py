"""What would become of a call at each upstream of its route, worked out without sending it and without a key.

for each in explained(route, call): each.name, each.url, each.body, each.left_out, each.refusal
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adapters import GatewayError
from sidecar.domain.call import Call
from sidecar.domain.snapshot import Route, Upstream
from sidecar.gateway.attempt import CallReader, plan_for, prepare
from sidecar.upstream.credentials import redact


@dataclass(frozen=True, slots=True)
class Explained:
    """One upstream. `body` is what the provider would get, `passes` whether those are the caller's own bytes but for documented
    edits; where the upstream has no place for the call, `refusal` says why and there is neither. Headers are not shown: they
    hold the key."""

    name: str
    upstream: Upstream
    method: str = ""
    url: str = ""
    body: str = ""
    passes: bool = False
    left_out: tuple[str, ...] = ()
    refusal: str = ""


def explained(route: Route, call: Call) -> Iterator[Explained]:
    """In the route's order. Raises nothing of a call that an upstream refuses; GatewayError for one that is malformed."""
    reader = CallReader(call)
    for upstream in route.upstreams:
        name = upstream.name or upstream.provider
        try:
            prepared = prepare(plan_for(upstream, route.task), reader)
        except GatewayError as error:
            yield Explained(name, upstream, refusal=redact(error.message, upstream))
            continue
        http = prepared.http
        yield Explained(
            name,
            upstream,
            http.method,
            redact(http.url, upstream),
            redact(http.body.decode("utf-8", "replace"), upstream),
            prepared.passes,
            http.left_out,
        )

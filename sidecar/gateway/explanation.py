"""Shows what each upstream of a route would make of a call, without sending it and without a key.

    for each in explained(route, call):
        print(each.name, each.url, each.body)

`left_out` and `refusal` say what the upstream would not receive, or why it would not be called.
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
    """The outcome at one upstream.

    `body` is what the provider would receive, and `passes` whether that is the caller's own body apart from
    documented edits. If the upstream cannot express the call, `refusal` gives the reason and `body` is empty.
    Headers are omitted because they hold the key.
    """

    name: str
    upstream: Upstream
    method: str = ""
    url: str = ""
    body: str = ""
    passes: bool = False
    left_out: tuple[str, ...] = ()
    refusal: str = ""


def explained(route: Route, call: Call) -> Iterator[Explained]:
    """Explains the call for each upstream, in the route's order. A refusal is part of the result; raises
    GatewayError only for a malformed call."""
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

"""The state of upstreams, as reported by a running gateway through gRPC."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sidecar.cli.terminal import BAD, GOOD, WARN

if TYPE_CHECKING:
    from sidecar.v1 import routes_pb2

_TIMEOUT_S = 10.0


class StatesUnknown(Exception):
    """The gateway does not report it; the message says why."""


def upstream_states(target: str, route: str = "") -> routes_pb2.ListUpstreamsResponse:
    """States of one route, or of all that may be called here. Raises StatesUnknown: REST has no such call, the
    gateway may not be running."""
    if "://" in target:
        raise StatesUnknown("not available over REST")
    import grpc

    from sidecar.v1 import routes_pb2, routes_pb2_grpc

    with grpc.insecure_channel(target) as channel:
        stub = routes_pb2_grpc.RouteServiceStub(channel)
        request = routes_pb2.ListUpstreamsRequest(route=route)
        try:
            found: routes_pb2.ListUpstreamsResponse = stub.ListUpstreams(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            gone = error.code() is grpc.StatusCode.UNAVAILABLE
            raise StatesUnknown(f"unknown: {f'no gateway at {target}' if gone else error.code().name}") from None
    return found


def words_of(upstream: routes_pb2.UpstreamState, workers: int) -> tuple[str, str]:
    """Returns its state for a person, and a style."""
    words, style = "available", GOOD
    if upstream.ejected_by:
        words = f"ejected by {upstream.ejected_by} of {workers} worker{'s' * (workers != 1)}"
        style = BAD if upstream.ejected_by >= workers else WARN
    if upstream.HasField("last_failure"):
        failure = upstream.last_failure
        words += f"; last failure {_ago(failure.time_ms / 1000)} ago: {failure.kind}"
        if failure.text:
            words += f" ({failure.text})"
    return words, style


def _ago(time_s: float) -> str:
    from sidecar.home.words import duration

    return duration(time.time() - time_s)


def by_route(states: routes_pb2.ListUpstreamsResponse) -> dict[str, Sequence[routes_pb2.UpstreamState]]:
    found: dict[str, list[routes_pb2.UpstreamState]] = {}
    for each in states.upstreams:
        found.setdefault(each.route, []).append(each)
    return dict(found)

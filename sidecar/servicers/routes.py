"""RouteService: which routes there are."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from itertools import islice

from adapters import GatewayError, Kind, Task
from sidecar.caller import Context, caller_of
from sidecar.gateway import Gateway
from sidecar.snapshot import Route
from sidecar.status import answering
from sidecar.strict import refuse_unknown_fields
from sidecar.v1 import routes_pb2 as pb
from sidecar.v1 import routes_pb2_grpc

_PAGE_DEFAULT = 100
_PAGE_MAX = 1000
_TASKS = {Task.CHAT: pb.TASK_CHAT, Task.COMPLETIONS: pb.TASK_COMPLETIONS, Task.EMBEDDINGS: pb.TASK_EMBEDDINGS}


class RouteServicer(routes_pb2_grpc.RouteServiceServicer):
    """Reads the gateway's snapshot; calls no provider."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def ListRoutes(self, request: pb.ListRoutesRequest, context: Context) -> pb.ListRoutesResponse:
        async with answering(context):
            visible = self._visible(context)
            refuse_unknown_fields(request)
            if request.page_size < 0:
                raise GatewayError(Kind.INVALID_REQUEST, "page_size is negative.", param="page_size")
            size = min(request.page_size or _PAGE_DEFAULT, _PAGE_MAX)
            start = _start_of(request.page_token)
            page = [_message(route) for route in islice(visible.values(), start, start + size)]
            token = _token_for(start + size) if start + size < len(visible) else ""
            return pb.ListRoutesResponse(routes=page, next_page_token=token)
        raise AssertionError("answering() always aborts")

    async def GetRoute(self, request: pb.GetRouteRequest, context: Context) -> pb.GetRouteResponse:
        async with answering(context):
            visible = self._visible(context)
            refuse_unknown_fields(request)
            route = visible.get(request.name)
            if route is None:
                raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{request.name[:128]}".', param="name")
            return pb.GetRouteResponse(route=_message(route))
        raise AssertionError("answering() always aborts")

    def _visible(self, context: Context) -> Mapping[str, Route]:
        consumers = self._gateway.consumers
        return consumers.routes(consumers.of(caller_of(context)))


def _message(route: Route) -> pb.Route:
    upstream = route.upstreams[0]
    return pb.Route(
        name=route.name, task=_TASKS[route.task], model=pb.Model(provider=upstream.provider, name=upstream.model)
    )


def _token_for(start: int) -> str:
    return base64.urlsafe_b64encode(b"r%d" % start).decode()


def _start_of(token: str) -> int:
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token.encode())
    except (binascii.Error, ValueError):
        text = b""
    if len(text) < 2 or text[:1] != b"r" or not text[1:].isdigit() or len(text) > 10:
        raise GatewayError(Kind.INVALID_REQUEST, "This page token was not given out here.", param="page_token")
    return int(text[1:])

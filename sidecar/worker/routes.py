"""RouteService: lists routes, and changes them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, Literal

from adapters import GatewayError, Kind, Task
from sidecar.domain.snapshot import Consumer, Limit, Route
from sidecar.domain.version import limits_version
from sidecar.gateway.consumers import require_admin
from sidecar.gateway.gateway import Gateway
from sidecar.home import UpstreamView
from sidecar.transport.abort import answers_errors
from sidecar.transport.caller import Context, caller_of
from sidecar.transport.unknown_fields import refuse_unknown_fields
from sidecar.v1 import routes_pb2 as pb
from sidecar.v1 import routes_pb2_grpc
from sidecar.worker.route_changes import RouteChanges, no_route
from sidecar.worker.upstream_views import states_of, upstream_views

_PAGE_DEFAULT = 100
_PAGE_MAX = 1000
_TASKS = {Task.CHAT: pb.TASK_CHAT, Task.COMPLETIONS: pb.TASK_COMPLETIONS, Task.EMBEDDINGS: pb.TASK_EMBEDDINGS}
_TYPES = {number: f"llm/v1/{task}" for task, number in _TASKS.items()}
_Unit = Literal["requests", "tokens", "concurrent"]
_UNITS: Final[Mapping[_Unit, pb.LimitUnit]] = {
    "requests": pb.LIMIT_UNIT_REQUESTS,
    "tokens": pb.LIMIT_UNIT_TOKENS,
    "concurrent": pb.LIMIT_UNIT_CONCURRENT,
}
_UNIT_OF = {number: unit for unit, number in _UNITS.items()}
# Members of a route that have fields of their own in the message.
_MODELLED = ("name", "route_type", "endpoint_type", "model")


class RouteServicer(routes_pb2_grpc.RouteServiceServicer):
    """Reads the gateway's snapshot and requests changes of it; never calls a provider."""

    def __init__(self, gateway: Gateway, changes: RouteChanges) -> None:
        self._gateway = gateway
        self._changes = changes

    @answers_errors
    async def ListRoutes(self, request: pb.ListRoutesRequest, context: Context) -> pb.ListRoutesResponse:
        visible = self._visible(context)
        refuse_unknown_fields(request)
        if request.page_size < 0:
            raise GatewayError(Kind.INVALID_REQUEST, "page_size must not be negative.", param="page_size")
        size = min(request.page_size or _PAGE_DEFAULT, _PAGE_MAX)
        start = _start_of(request.page_token)
        page = [_message(route) for route in islice(visible.values(), start, start + size)]
        token = _token_for(start + size) if start + size < len(visible) else ""
        return pb.ListRoutesResponse(routes=page, next_page_token=token)

    @answers_errors
    async def GetRoute(self, request: pb.GetRouteRequest, context: Context) -> pb.GetRouteResponse:
        consumer = self._consumer(context)
        refuse_unknown_fields(request)
        route = self._gateway.consumers.shown(consumer, request.name)
        if route is None:
            raise no_route(request.name)
        return pb.GetRouteResponse(route=_message(route))

    @answers_errors
    async def CreateRoute(self, request: pb.CreateRouteRequest, context: Context) -> pb.CreateRouteResponse:
        consumer = self._admin(context)
        refuse_unknown_fields(request)
        return pb.CreateRouteResponse(route=_message(await self._changes.create(consumer, _spec(request.route))))

    @answers_errors
    async def UpdateRoute(self, request: pb.UpdateRouteRequest, context: Context) -> pb.UpdateRouteResponse:
        consumer = self._admin(context)
        refuse_unknown_fields(request)
        changed = await self._changes.update(consumer, _spec(request.route), _etags(request.etag))
        return pb.UpdateRouteResponse(route=_message(changed))

    @answers_errors
    async def DeleteRoute(self, request: pb.DeleteRouteRequest, context: Context) -> pb.DeleteRouteResponse:
        consumer = self._admin(context)
        refuse_unknown_fields(request)
        await self._changes.delete(consumer, request.name, _etags(request.etag))
        return pb.DeleteRouteResponse()

    @answers_errors
    async def GetLimits(self, request: pb.GetLimitsRequest, context: Context) -> pb.GetLimitsResponse:
        consumer = self._consumer(context)
        refuse_unknown_fields(request)
        limits = await self._changes.get_limits(consumer, request.route)
        return pb.GetLimitsResponse(limits=_messages(limits), etag=limits_version(limits))

    @answers_errors
    async def SetLimits(self, request: pb.SetLimitsRequest, context: Context) -> pb.SetLimitsResponse:
        consumer = self._admin(context)
        refuse_unknown_fields(request)
        limits = [_limit(index, limit) for index, limit in enumerate(request.limits)]
        holds = await self._changes.set_limits(consumer, request.route, limits, _etags(request.etag))
        return pb.SetLimitsResponse(limits=_messages(holds), etag=limits_version(holds))

    @answers_errors
    async def ListUpstreams(self, request: pb.ListUpstreamsRequest, context: Context) -> pb.ListUpstreamsResponse:
        consumer = self._consumer(context)
        refuse_unknown_fields(request)
        routes = list(self._visible(context).values())
        if request.route:
            found = self._gateway.consumers.known(consumer, request.route)
            if found is None:
                raise no_route(request.route)
            routes = [found]
        status = await self._changes.status(consumer)
        if status is None:
            raise GatewayError(Kind.OVERLOADED, "The supervisor did not report the state of the upstreams. Try again.")
        states = states_of(status)
        upstreams = [
            _upstream(route.name, view)
            for route in routes
            for view in upstream_views(route, states, texts=consumer.admin)
        ]
        return pb.ListUpstreamsResponse(upstreams=upstreams, workers=status.workers)

    def _consumer(self, context: Context) -> Consumer:
        return self._gateway.consumers.of(caller_of(context))

    def _admin(self, context: Context) -> Consumer:
        """Checks for an admin before anything is read: only admins learn what is wrong with a request."""
        consumer = self._consumer(context)
        require_admin(consumer)
        return consumer

    def _visible(self, context: Context) -> Mapping[str, Route]:
        return self._gateway.consumers.routes(self._consumer(context))


def _message(route: Route) -> pb.Route:
    upstream = route.upstreams[0]
    return pb.Route(
        name=route.name,
        task=_TASKS[route.task],
        model=pb.Model(provider=upstream.provider, name=upstream.model),
        etag=route.version,
    )


def _etags(etag: str) -> tuple[str, ...]:
    return (etag,) if etag else ()


def _upstream(route: str, view: UpstreamView) -> pb.UpstreamState:
    state = pb.UpstreamState(
        route=route,
        upstream=view.name,
        model=pb.Model(provider=view.provider, name=view.model),
        ejected_by=view.ejected_by,
    )
    failure = view.failure
    if failure is not None:
        last = pb.UpstreamFailure(time_ms=int(failure.time_s * 1000), kind=failure.kind, text=failure.text)
        state.last_failure.CopyFrom(last)
    return state


def _spec(route: pb.RouteSpec) -> dict[str, Any]:
    """Returns the route in the terms of the config file. The checks of the file find what is missing or wrong."""
    settings = _object(route.settings_json, "route.settings_json")
    for name in _MODELLED:
        if name in settings:
            text = f"settings_json must not have {name}: it is a field of the route."
            raise GatewayError(Kind.INVALID_REQUEST, text, param="route.settings_json")
    if route.task not in _TYPES:
        raise GatewayError(Kind.INVALID_REQUEST, "The route has no task. Set `task`.", param="route.task")
    model: dict[str, Any] = {"provider": route.model.provider, "name": route.model.name}
    if config := _object(route.model.config_json, "route.model.config_json"):
        model["config"] = config
    return {"name": route.name, "route_type": _TYPES[route.task], "model": model, **settings}


def _object(text: str, param: str) -> dict[str, Any]:
    """Parses a JSON object. Messages never quote the text, which may hold a key."""
    if not text:
        return {}
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise GatewayError(Kind.INVALID_REQUEST, f"{param} is not a JSON object.", param=param)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Builds a dict. Raises ValueError for a duplicate key, as the reader of the config file does."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _no_number(name: str) -> None:
    """NaN and Infinity are not JSON."""
    raise ValueError


def _limit(index: int, limit: pb.RateLimit) -> Limit:
    unit = _UNIT_OF.get(limit.unit)
    if unit is None:
        raise GatewayError(
            Kind.INVALID_REQUEST, f"limits[{index}]: the unit is missing.", param=f"limits[{index}].unit"
        )
    return Limit(unit, limit.count, limit.per_seconds, limit.each_consumer)


def _messages(limits: Iterable[Limit]) -> list[pb.RateLimit]:
    return [
        pb.RateLimit(unit=_UNITS[one.unit], count=one.count, per_seconds=one.per_s, each_consumer=one.each)
        for one in limits
    ]


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
        raise GatewayError(Kind.INVALID_REQUEST, "Invalid page token.", param="page_token")
    return int(text[1:])

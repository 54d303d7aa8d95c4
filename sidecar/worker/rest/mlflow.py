"""MLflow's paths, in the dialects that docs/reference/mlflow.md describes."""

from __future__ import annotations

from collections.abc import Callable, Collection

from google.api.httpbody_pb2 import HttpBody

from adapters import GatewayError, Kind
from adapters.mlflow_client import members_of
from sidecar.domain.snapshot import Consumer, Route
from sidecar.domain.version import limits_version
from sidecar.gateway.consumers import require_admin
from sidecar.v1 import rest_pb2
from sidecar.worker.rest import mlflow_lists as lists
from sidecar.worker.rest.error_bodies import MLFLOW, MLFLOW_C, MLFLOW_TEXT
from sidecar.worker.rest.etags import etags_of, versioned
from sidecar.worker.rest.mlflow_admin import limits_json, limits_of, spec_of
from sidecar.worker.rest.mlflow_dialect import B, C, client_version, dialect_of, is_known_to
from sidecar.worker.rest.reply import Reply, answers_in
from sidecar.worker.rest.request_coding import plain
from sidecar.worker.rest.route_calls import Dialect, RouteCalls
from sidecar.worker.route_changes import RouteChanges


class MlflowPaths:
    """Lists contain what the caller may call; other routes do not exist as far as it can tell."""

    def __init__(self, calls: RouteCalls, changes: RouteChanges) -> None:
        self._calls = calls
        self._changes = changes

    @answers_in(MLFLOW)
    async def QueryMlflowRoute(self, request: rest_pb2.QueryMlflowRouteRequest, reply: Reply) -> None:
        version = client_version(reply.context)

        def choose(route: Route, body: bytes) -> Dialect:
            return dialect_of(version, members_of(body) if version is None else (), route)

        await self._calls.named_in_path(reply, request.name, request.body.data, choose)

    @answers_in(MLFLOW)
    async def QueryMlflowEndpoint(self, request: rest_pb2.QueryMlflowEndpointRequest, reply: Reply) -> None:
        await self._calls.named_in_path(reply, request.name, request.body.data, lambda route, body: B)

    @answers_in(MLFLOW_C)
    async def InvokeMlflow(self, request: rest_pb2.InvokeMlflowRequest, reply: Reply) -> None:
        await self._calls.named_in_path(reply, request.name, request.body.data, lambda route, body: C)

    @answers_in(MLFLOW_TEXT)
    async def ListMlflowRoutes(self, request: rest_pb2.ListMlflowRoutesRequest, reply: Reply) -> None:
        version = client_version(reply.context)
        seen: Collection[Route] = self._calls.routes(self._calls.consumer(reply.context)).values()
        if not all(is_known_to(version, each) for each in seen):
            seen = [each for each in seen if is_known_to(version, each)]
        await reply.json(lists.page("routes", seen, request.page_token, lists.route))

    @answers_in(MLFLOW_TEXT)
    async def ListMlflowEndpoints(self, request: rest_pb2.ListMlflowEndpointsRequest, reply: Reply) -> None:
        seen = self._calls.routes(self._calls.consumer(reply.context)).values()
        await reply.json(lists.page("endpoints", seen, request.page_token, lists.endpoint))

    @answers_in(MLFLOW_TEXT)
    async def GetMlflowRoute(self, request: rest_pb2.GetMlflowRouteRequest, reply: Reply) -> None:
        found = self._found(reply, request.name, "route")
        await versioned(reply, lists.route(found), found.version)

    @answers_in(MLFLOW_TEXT)
    async def GetMlflowEndpoint(self, request: rest_pb2.GetMlflowEndpointRequest, reply: Reply) -> None:
        found = self._found(reply, request.name, "endpoint")
        await versioned(reply, lists.endpoint(found), found.version)

    @answers_in(MLFLOW_TEXT)
    async def GetMlflowTrafficRoute(self, request: rest_pb2.GetMlflowTrafficRouteRequest, reply: Reply) -> None:
        found = self._found(reply, request.name, "route", lambda route: route.strategy == "weighted")
        await reply.json(lists.traffic_route(found))

    @answers_in(MLFLOW)
    async def CreateMlflowRoute(self, request: HttpBody, reply: Reply) -> None:
        consumer = self._admin(reply)
        spec = spec_of(await plain(request.data, reply.context))
        made = await self._changes.create(consumer, spec)
        await versioned(reply, lists.route(made), made.version)

    @answers_in(MLFLOW)
    async def UpdateMlflowRoute(self, request: rest_pb2.UpdateMlflowRouteRequest, reply: Reply) -> None:
        consumer = self._admin(reply)
        spec = spec_of(await plain(request.body.data, reply.context))
        if spec.setdefault("name", request.name) != request.name:
            raise GatewayError(Kind.INVALID_REQUEST, "The body and the path name different routes.", param="name")
        changed = await self._changes.update(consumer, spec, etags_of(reply.context))
        await versioned(reply, lists.route(changed), changed.version)

    @answers_in(MLFLOW_TEXT)
    async def DeleteMlflowRoute(self, request: rest_pb2.DeleteMlflowRouteRequest, reply: Reply) -> None:
        await self._changes.delete(self._calls.consumer(reply.context), request.name, etags_of(reply.context))
        await reply.json({})

    @answers_in(MLFLOW_TEXT)
    async def GetMlflowLimits(self, request: rest_pb2.GetMlflowLimitsRequest, reply: Reply) -> None:
        limits = await self._changes.get_limits(self._calls.consumer(reply.context), request.route)
        await versioned(reply, limits_json(limits), limits_version(limits))

    @answers_in(MLFLOW)
    async def SetMlflowLimits(self, request: HttpBody, reply: Reply) -> None:
        """Keeps limits that MLflow's API cannot express."""
        consumer = self._admin(reply)
        name, limits = limits_of(await plain(request.data, reply.context))
        before = await self._changes.get_limits(consumer, name)
        kept = [each for each in before if each.unit != "requests"]
        etags = etags_of(reply.context) or (limits_version(before),)
        holds = await self._changes.set_limits(consumer, name, [*limits, *kept], etags)
        await versioned(reply, limits_json(holds), limits_version(holds))

    def _admin(self, reply: Reply) -> Consumer:
        """Checks for an admin before the body is read: only admins learn what is wrong with it."""
        consumer = self._calls.consumer(reply.context)
        require_admin(consumer)
        return consumer

    def _found(self, reply: Reply, name: str, what: str, fits: Callable[[Route], bool] = lambda route: True) -> Route:
        route = self._calls.route(self._calls.consumer(reply.context), name)
        if route is None or not fits(route):
            text = f"The {what} '{name}' is not present or active on the server. Please verify the {what} name."
            raise GatewayError(Kind.ROUTE_NOT_FOUND, text)
        return route

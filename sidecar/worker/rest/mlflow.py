"""MLflow's paths, in the dialects that docs/mlflow.md describes."""

from __future__ import annotations

from collections.abc import Callable, Collection

from google.api.httpbody_pb2 import HttpBody

from adapters import GatewayError, Kind
from adapters.mlflow_client import members_of
from sidecar.domain.snapshot import Route
from sidecar.transport.caller import Context
from sidecar.v1 import rest_pb2, rest_pb2_grpc
from sidecar.worker.rest import mlflow_lists as lists
from sidecar.worker.rest.error_bodies import MLFLOW, MLFLOW_C, MLFLOW_TEXT
from sidecar.worker.rest.mlflow_admin import limits_json, limits_of, spec_of
from sidecar.worker.rest.mlflow_dialect import B, C, client_version, dialect_of, is_known_to
from sidecar.worker.rest.reply import Reply
from sidecar.worker.rest.route_calls import Calls, Dialect
from sidecar.worker.route_changes import RouteChanges


class MlflowPaths(rest_pb2_grpc.RestServiceServicer):
    """Lists show what the caller may call; everything else does not exist for it."""

    _calls: Calls
    _changes: RouteChanges

    async def QueryMlflowRoute(self, request: rest_pb2.QueryMlflowRouteRequest, context: Context) -> None:
        body = request.body.data
        version = client_version(context)

        def choose(route: Route) -> Dialect:
            return dialect_of(version, members_of(body) if version is None else (), route)

        async with Reply(context, MLFLOW) as reply:
            await self._calls.named_in_path(reply, context, request.name, body, choose)

    async def QueryMlflowEndpoint(self, request: rest_pb2.QueryMlflowEndpointRequest, context: Context) -> None:
        async with Reply(context, MLFLOW) as reply:
            await self._calls.named_in_path(reply, context, request.name, request.body.data, lambda route: B)

    async def InvokeMlflow(self, request: rest_pb2.InvokeMlflowRequest, context: Context) -> None:
        async with Reply(context, MLFLOW_C) as reply:
            await self._calls.named_in_path(reply, context, request.name, request.body.data, lambda route: C)

    async def ListMlflowRoutes(self, request: rest_pb2.ListMlflowRoutesRequest, context: Context) -> None:
        version = client_version(context)
        async with Reply(context, MLFLOW_TEXT) as reply:
            seen: Collection[Route] = self._calls.routes(self._calls.consumer(context)).values()
            if not all(is_known_to(version, each) for each in seen):
                seen = [each for each in seen if is_known_to(version, each)]
            await reply.json(lists.page("routes", seen, request.page_token, lists.route))

    async def ListMlflowEndpoints(self, request: rest_pb2.ListMlflowEndpointsRequest, context: Context) -> None:
        async with Reply(context, MLFLOW_TEXT) as reply:
            seen = self._calls.routes(self._calls.consumer(context)).values()
            await reply.json(lists.page("endpoints", seen, request.page_token, lists.endpoint))

    async def GetMlflowRoute(self, request: rest_pb2.GetMlflowRouteRequest, context: Context) -> None:
        async with Reply(context, MLFLOW_TEXT) as reply:
            await reply.json(lists.route(self._found(context, request.name, "route")))

    async def GetMlflowEndpoint(self, request: rest_pb2.GetMlflowEndpointRequest, context: Context) -> None:
        async with Reply(context, MLFLOW_TEXT) as reply:
            await reply.json(lists.endpoint(self._found(context, request.name, "endpoint")))

    async def GetMlflowTrafficRoute(self, request: rest_pb2.GetMlflowTrafficRouteRequest, context: Context) -> None:
        async with Reply(context, MLFLOW_TEXT) as reply:
            found = self._found(context, request.name, "route", lambda route: route.strategy == "weighted")
            await reply.json(lists.traffic_route(found))

    async def CreateMlflowRoute(self, request: HttpBody, context: Context) -> None:
        async with Reply(context, MLFLOW) as reply:
            consumer = self._calls.consumer(context)
            await reply.json(lists.route(await self._changes.create(consumer, spec_of(request.data))))

    async def UpdateMlflowRoute(self, request: rest_pb2.UpdateMlflowRouteRequest, context: Context) -> None:
        async with Reply(context, MLFLOW) as reply:
            consumer = self._calls.consumer(context)
            spec = spec_of(request.body.data)
            if spec.setdefault("name", request.name) != request.name:
                raise GatewayError(Kind.INVALID_REQUEST, "The body names another route than the path.", param="name")
            await reply.json(lists.route(await self._changes.update(consumer, spec)))

    async def DeleteMlflowRoute(self, request: rest_pb2.DeleteMlflowRouteRequest, context: Context) -> None:
        async with Reply(context, MLFLOW_TEXT) as reply:
            await self._changes.delete(self._calls.consumer(context), request.name)
            await reply.json({})

    async def GetMlflowLimits(self, request: rest_pb2.GetMlflowLimitsRequest, context: Context) -> None:
        async with Reply(context, MLFLOW_TEXT) as reply:
            limits = await self._changes.get_limits(self._calls.consumer(context), request.route)
            await reply.json(limits_json(limits))

    async def SetMlflowLimits(self, request: HttpBody, context: Context) -> None:
        """Limits that MLflow has no words for are kept."""
        async with Reply(context, MLFLOW) as reply:
            consumer = self._calls.consumer(context)
            name, limits = limits_of(request.data)
            kept = [each for each in await self._changes.get_limits(consumer, name) if each.unit != "requests"]
            await reply.json(limits_json(await self._changes.set_limits(consumer, name, [*limits, *kept])))

    def _found(
        self, context: Context, name: str, what: str, fits: Callable[[Route], bool] = lambda route: True
    ) -> Route:
        route = self._calls.routes(self._calls.consumer(context)).get(name)
        if route is None or not fits(route):
            text = f"The {what} '{name}' is not present or active on the server. Please verify the {what} name."
            raise GatewayError(Kind.ROUTE_NOT_FOUND, text)
        return route

"""OpenAI's paths."""

from __future__ import annotations

from google.api.httpbody_pb2 import HttpBody

from adapters import FORMATS, GatewayError, Kind, Task
from sidecar.domain.snapshot import Route
from sidecar.transport.caller import Context
from sidecar.v1 import rest_pb2, rest_pb2_grpc
from sidecar.worker.rest.reply import Reply
from sidecar.worker.rest.route_calls import Calls, Dialect

_OPENAI = Dialect("openai", FORMATS["openai"].client)


class OpenAiPaths(rest_pb2_grpc.RestServiceServicer):
    """Also under the longer paths where MLflow's 3.9+ server has them."""

    _calls: Calls

    async def ChatCompletions(self, request: HttpBody, context: Context) -> None:
        await self._call(request, context, Task.CHAT)

    async def Completions(self, request: HttpBody, context: Context) -> None:
        await self._call(request, context, Task.COMPLETIONS)

    async def Embeddings(self, request: HttpBody, context: Context) -> None:
        await self._call(request, context, Task.EMBEDDINGS)

    async def ListModels(self, request: rest_pb2.ListModelsRequest, context: Context) -> None:
        async with Reply(context) as reply:
            routes = self._calls.routes(self._calls.consumer(context))
            await reply.json({"object": "list", "data": [_model(route) for route in routes.values()]})

    async def GetModel(self, request: rest_pb2.GetModelRequest, context: Context) -> None:
        async with Reply(context) as reply:
            route = self._calls.routes(self._calls.consumer(context)).get(request.id)
            if route is None:
                raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{request.id}".', param="model")
            await reply.json(_model(route))

    async def Health(self, request: rest_pb2.HealthRequest, context: Context) -> None:
        async with Reply(context) as reply:
            await reply.json({"status": "OK"})

    async def _call(self, request: HttpBody, context: Context, task: Task) -> None:
        async with Reply(context) as reply:
            await self._calls.named_in_body(reply, context, request.data, task, _OPENAI)


def _model(route: Route) -> dict[str, object]:
    # `created` is required by OpenAI's clients; a route has no such date, and 0 says so.
    return {"id": route.name, "object": "model", "created": 0, "owned_by": route.upstreams[0].provider}

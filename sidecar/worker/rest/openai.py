"""OpenAI's paths."""

from __future__ import annotations

from google.api.httpbody_pb2 import HttpBody

from adapters import FORMATS, GatewayError, Kind, Task
from sidecar.transport.health import HealthServicer
from sidecar.v1 import rest_pb2
from sidecar.worker.rest import models
from sidecar.worker.rest.error_bodies import OPENAI
from sidecar.worker.rest.reply import Reply, answers_by, answers_in
from sidecar.worker.rest.route_calls import Dialect, RouteCalls

_DIALECT = Dialect("openai", FORMATS["openai"].client)


class OpenAiPaths:
    """Also under the longer paths where MLflow's 3.9+ server has them."""

    def __init__(self, calls: RouteCalls, health: HealthServicer) -> None:
        self._calls = calls
        self._health = health

    @answers_in(OPENAI)
    async def ChatCompletions(self, request: HttpBody, reply: Reply) -> None:
        await self._calls.named_in_body(reply, request.data, Task.CHAT, _DIALECT)

    @answers_in(OPENAI)
    async def Completions(self, request: HttpBody, reply: Reply) -> None:
        await self._calls.named_in_body(reply, request.data, Task.COMPLETIONS, _DIALECT)

    @answers_in(OPENAI)
    async def Embeddings(self, request: HttpBody, reply: Reply) -> None:
        await self._calls.named_in_body(reply, request.data, Task.EMBEDDINGS, _DIALECT)

    @answers_by(models.shape_of)
    async def ListModels(self, request: rest_pb2.ListModelsRequest, reply: Reply) -> None:
        routes = self._calls.routes(self._calls.consumer(reply.context)).values()
        listed = models.anthropic_list if models.speaks_anthropic(reply.context) else models.openai_list
        await reply.json(listed(routes, request))

    @answers_by(models.shape_of)
    async def GetModel(self, request: rest_pb2.GetModelRequest, reply: Reply) -> None:
        route = self._calls.route(self._calls.consumer(reply.context), request.id)
        anthropic = models.speaks_anthropic(reply.context)
        if route is None or (anthropic and route.task is not Task.CHAT):
            raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{request.id}".', param="model")
        await reply.json((models.anthropic_model if anthropic else models.openai_model)(route, request.id))

    @answers_in(OPENAI)
    async def Health(self, request: rest_pb2.HealthRequest, reply: Reply) -> None:
        """Whether a load balancer may send calls here."""
        if self._health.leaving:
            raise GatewayError(Kind.DRAINED, "The gateway is about to stop.")
        await reply.json({"status": "OK"})

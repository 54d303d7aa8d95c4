"""The paths of OpenAI's API."""

from __future__ import annotations

from adapters import FORMATS, GatewayError, Kind, Task
from sidecar.transport.health import HealthServicer
from sidecar.v1 import rest_pb2
from sidecar.worker.rest import models
from sidecar.worker.rest.error_bodies import OPENAI
from sidecar.worker.rest.reply import Reply, answers_by, answers_in
from sidecar.worker.rest.route_calls import Dialect, RouteCalls, body_names_route

_DIALECT = Dialect("openai", FORMATS["openai"].client)


class OpenAiPaths:
    """Also available under the longer paths of MLflow's server 3.9 and later."""

    def __init__(self, calls: RouteCalls, health: HealthServicer) -> None:
        self.calls = calls
        self.memory = None
        self._health = health

    ChatCompletions = body_names_route(OPENAI, Task.CHAT, _DIALECT)
    Completions = body_names_route(OPENAI, Task.COMPLETIONS, _DIALECT)
    Embeddings = body_names_route(OPENAI, Task.EMBEDDINGS, _DIALECT)

    @answers_by(models.shape_of)
    async def ListModels(self, request: rest_pb2.ListModelsRequest, reply: Reply) -> None:
        routes = self.calls.routes(self.calls.consumer(reply.context)).values()
        listed = models.anthropic_list if models.speaks_anthropic(reply.context) else models.openai_list
        await reply.json(listed(routes, request))

    @answers_by(models.shape_of)
    async def GetModel(self, request: rest_pb2.GetModelRequest, reply: Reply) -> None:
        route = self.calls.route(self.calls.consumer(reply.context), request.id)
        anthropic = models.speaks_anthropic(reply.context)
        if route is None or (anthropic and route.task is not Task.CHAT):
            raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{request.id}".', param="model")
        await reply.json((models.anthropic_model if anthropic else models.openai_model)(route, request.id))

    @answers_in(OPENAI)
    async def Health(self, request: rest_pb2.HealthRequest, reply: Reply) -> None:
        """Whether a load balancer may send calls here."""
        if self._health.leaving:
            raise GatewayError(Kind.DRAINED, "The gateway is shutting down.")
        await reply.json({"status": "OK"})

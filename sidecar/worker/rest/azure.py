"""Azure's paths for OpenAI's API, as its SDKs call them: the deployment in the path is a route."""

from __future__ import annotations

from adapters import DEPLOYMENTS, Task
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.error_bodies import OPENAI
from sidecar.worker.rest.reply import Reply, answers_in
from sidecar.worker.rest.route_calls import Dialect, RouteCalls

_DIALECT = Dialect("openai", DEPLOYMENTS)


class AzurePaths:
    """The paths below /openai/deployments/. Those that Azure has below /openai/v1/ are additional paths of
    OpenAI's."""

    def __init__(self, calls: RouteCalls) -> None:
        self._calls = calls

    @answers_in(OPENAI)
    async def AzureChatCompletions(self, request: rest_pb2.AzureDeploymentRequest, reply: Reply) -> None:
        await self._call(request, reply, Task.CHAT)

    @answers_in(OPENAI)
    async def AzureCompletions(self, request: rest_pb2.AzureDeploymentRequest, reply: Reply) -> None:
        await self._call(request, reply, Task.COMPLETIONS)

    @answers_in(OPENAI)
    async def AzureEmbeddings(self, request: rest_pb2.AzureDeploymentRequest, reply: Reply) -> None:
        await self._call(request, reply, Task.EMBEDDINGS)

    async def _call(self, request: rest_pb2.AzureDeploymentRequest, reply: Reply, task: Task) -> None:
        await self._calls.named_in_path(reply, request.route, request.body.data, lambda route, body: _DIALECT, task)

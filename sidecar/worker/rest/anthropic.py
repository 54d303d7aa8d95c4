"""The paths of Anthropic's API."""

from __future__ import annotations

from adapters import FORMATS, Task
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.error_bodies import ANTHROPIC
from sidecar.worker.rest.reply import Reply, answers_in
from sidecar.worker.rest.route_calls import Dialect, RouteCalls

# Operation label in metrics; calls to OpenAI's API have `chat`.
_DIALECT = Dialect("anthropic", FORMATS["anthropic"].client, {Task.CHAT: ("messages", "stream_messages")})


class AnthropicPaths:
    """The Messages API, on routes of type llm/v1/chat. Its list of models is served with OpenAI's, which has the
    same path."""

    def __init__(self, calls: RouteCalls) -> None:
        self._calls = calls

    @answers_in(ANTHROPIC)
    async def CreateMessage(self, request: rest_pb2.CreateMessageRequest, reply: Reply) -> None:
        await self._calls.named_in_body(reply, request.body.data, Task.CHAT, _DIALECT, _query(request.beta))

    @answers_in(ANTHROPIC)
    async def CountMessageTokens(self, request: rest_pb2.CountMessageTokensRequest, reply: Reply) -> None:
        query = _query(request.beta)
        count = await self._calls.count_tokens(reply, request.body.data, Task.CHAT, _DIALECT, query)
        await reply.count(count, {"input_tokens": count.tokens})


def _query(beta: str) -> str:
    """`?beta=true`, as the SDKs' beta namespaces write it; other values are ignored."""
    return "beta=true" if beta == "true" else ""

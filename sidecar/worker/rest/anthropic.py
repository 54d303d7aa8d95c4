"""Anthropic's paths."""

from __future__ import annotations

from adapters import FORMATS, Task
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.error_bodies import ANTHROPIC
from sidecar.worker.rest.reply import Reply, answers_in
from sidecar.worker.rest.route_calls import Dialect, RouteCalls

# What the door's calls are counted as: the word of OpenAI's door is `chat`.
_DIALECT = Dialect("anthropic", FORMATS["anthropic"].client, {Task.CHAT: ("messages", "stream_messages")})


class AnthropicPaths:
    """The Messages API, on routes of type llm/v1/chat."""

    def __init__(self, calls: RouteCalls) -> None:
        self._calls = calls

    @answers_in(ANTHROPIC)
    async def CreateMessage(self, request: rest_pb2.CreateMessageRequest, reply: Reply) -> None:
        await self._calls.named_in_body(reply, request.body.data, Task.CHAT, _DIALECT)

"""OpenAI's Responses paths."""

from __future__ import annotations

from google.api.httpbody_pb2 import HttpBody

from adapters import FORMATS, GatewayError, Kind, Task
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.error_bodies import OPENAI, encode_openai
from sidecar.worker.rest.reply import JSON, Reply, answers_in
from sidecar.worker.rest.route_calls import Dialect, RouteCalls

# What the door's calls are counted as: the word of chat completions' is `chat`.
_DIALECT = Dialect("responses", FORMATS["responses"].client, {Task.CHAT: ("responses", "stream_responses")})
_UPGRADE_REQUIRED = 426


class ResponsesPaths:
    """The Responses API, on routes of type llm/v1/chat. Nothing is remembered between calls."""

    def __init__(self, calls: RouteCalls) -> None:
        self._calls = calls

    @answers_in(OPENAI)
    async def CreateResponse(self, request: HttpBody, reply: Reply) -> None:
        await self._calls.named_in_body(reply, request.data, Task.CHAT, _DIALECT)

    @answers_in(OPENAI)
    async def ConnectResponses(self, request: rest_pb2.ConnectResponsesRequest, reply: Reply) -> None:
        """Codex asks for a websocket first; on this status it goes on with POST and asks no more."""
        self._calls.consumer(reply.context)
        text = "There is no websocket here: send POST /v1/responses, streamed or not."
        body = encode_openai(GatewayError(Kind.INVALID_REQUEST, text, code="upgrade_required"))
        await reply.file(JSON, body, [], status=_UPGRADE_REQUIRED)

    @answers_in(OPENAI)
    async def GetResponse(self, request: rest_pb2.GetResponseRequest, reply: Reply) -> None:
        self._calls.consumer(reply.context)
        text = f'There is no response "{request.id[:128]}": this gateway remembers none.'
        raise GatewayError(Kind.ROUTE_NOT_FOUND, text, param="id", code="response_not_found")

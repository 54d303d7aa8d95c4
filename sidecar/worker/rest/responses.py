"""The paths of OpenAI's Responses API."""

from __future__ import annotations

from google.api.httpbody_pb2 import HttpBody

from adapters import FORMATS, GatewayError, Kind, Task
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.error_bodies import OPENAI, encode_openai
from sidecar.worker.rest.input_items import page
from sidecar.worker.rest.remembering import RememberedResponses
from sidecar.worker.rest.reply import JSON, Reply, answers_in
from sidecar.worker.rest.route_calls import Dialect, RouteCalls, body_names_route

# Operation label in metrics; chat completions have `chat`.
_DIALECT = Dialect("responses", FORMATS["responses"].client, {Task.CHAT: ("responses", "stream_responses")})
# OpenAI compacts with a model, and bills for it.
_COMPACTING = Dialect(
    "responses", FORMATS["responses"].client, {Task.CHAT: ("compact_response", "compact_response")}, compacts=True
)
_UPGRADE_REQUIRED = 426


class ResponsesPaths:
    """The Responses API, on routes of type llm/v1/chat. The config decides whether answers are stored between
    calls."""

    def __init__(self, calls: RouteCalls, memory: RememberedResponses) -> None:
        self.calls = calls
        self.memory = memory

    CreateResponse = body_names_route(OPENAI, Task.CHAT, _DIALECT)

    @answers_in(OPENAI)
    async def CountResponseTokens(self, request: HttpBody, reply: Reply) -> None:
        count = await self.calls.count_tokens(reply, request.data, Task.CHAT, _DIALECT, memory=self.memory)
        await reply.count(count, {"object": "response.input_tokens", "input_tokens": count.tokens})

    CompactResponse = body_names_route(OPENAI, Task.CHAT, _COMPACTING)

    @answers_in(OPENAI)
    async def ConnectResponses(self, request: rest_pb2.ConnectResponsesRequest, reply: Reply) -> None:
        """Codex tries a websocket first. With this status it falls back to POST and does not try again."""
        self.calls.consumer(reply.context)
        text = "This gateway does not serve websockets. Send POST /v1/responses, streamed or not."
        body = encode_openai(GatewayError(Kind.INVALID_REQUEST, text, code="upgrade_required"))
        await reply.file(JSON, body, [], status=_UPGRADE_REQUIRED)

    @answers_in(OPENAI)
    async def GetResponse(self, request: rest_pb2.GetResponseRequest, reply: Reply) -> None:
        consumer = self.calls.consumer(reply.context)
        if request.stream == "true":
            text = "'stream' is not supported: it replays background responses, which this gateway does not have."
            raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param="stream")
        await reply.whole(bytes((await self.memory.find(consumer, request.id)).response))

    @answers_in(OPENAI)
    async def DeleteResponse(self, request: rest_pb2.DeleteResponseRequest, reply: Reply) -> None:
        await self.memory.delete(self.calls.consumer(reply.context), request.id)
        await reply.json({"id": request.id, "object": "response", "deleted": True})

    @answers_in(OPENAI)
    async def CancelResponse(self, request: rest_pb2.CancelResponseRequest, reply: Reply) -> None:
        """OpenAI's own words, for an answer of which its caller knows the end."""
        await self.memory.find(self.calls.consumer(reply.context), request.id)
        raise GatewayError(Kind.INVALID_REQUEST, "Cannot cancel a synchronous response.", param="id")

    @answers_in(OPENAI)
    async def CreateConversation(self, request: HttpBody, reply: Reply) -> None:
        self.calls.consumer(reply.context)
        text = "The gateway has no Conversations API. Go on from an answer by previous_response_id"
        text += "." if self.memory.on else ", where the config says `responses: {remember: 1h}`."
        text += " Or keep the items in the client and send them as input; a session of openai-agents that does is SQLiteSession."
        raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param="conversation")

    @answers_in(OPENAI)
    async def ListResponseInputItems(self, request: rest_pb2.ListResponseInputItemsRequest, reply: Reply) -> None:
        items = await self.memory.input_items(self.calls.consumer(reply.context), request.id)
        await reply.whole(page(items, request))

"""RestService: OpenAI's HTTP API in HttpBody messages, for the front proxies (DESIGN 6).

Status and headers go ahead as initial metadata, the body follows in pieces of at most 64 KiB, and the RPC ends OK whatever
the HTTP status is: a non-OK RPC means that the core itself failed.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from google.api.httpbody_pb2 import HttpBody

from adapters import FORMATS, ClientSide, Envelope, GatewayError, Kind, Task
from sidecar.accounting import Record
from sidecar.caller import Caller, Context, caller_of, request_id_of
from sidecar.calls import Call
from sidecar.errors import answer_to, client_may_retry, retry_after_s
from sidecar.gateway import Gateway
from sidecar.metrics import Metrics
from sidecar.snapshot import Consumer, Route
from sidecar.v1 import rest_pb2, rest_pb2_grpc

log = logging.getLogger(__name__)

# Envoy holds a whole message, and answers 500 above its buffer (DESIGN 3).
PIECE_BYTES_MAX = 64 * 1024
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
_FORMAT = FORMATS["openai"]
_KEEPALIVE = b": keep-alive\n\n"


class RestServicer(rest_pb2_grpc.RestServiceServicer):
    """The client side is OpenAI's format throughout."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics

    async def ChatCompletions(self, request: HttpBody, context: Context) -> None:
        await self._inference(request.data, context, Task.CHAT, "chat", "stream_chat")

    async def Completions(self, request: HttpBody, context: Context) -> None:
        await self._inference(request.data, context, Task.COMPLETIONS, "complete", "stream_complete")

    async def Embeddings(self, request: HttpBody, context: Context) -> None:
        await self._inference(request.data, context, Task.EMBEDDINGS, "embed", "embed")

    async def ListModels(self, request: rest_pb2.ListModelsRequest, context: Context) -> None:
        async with _Reply(context) as reply:
            models = [_model(route.name, route.upstreams[0].provider) for route in self._routes(context).values()]
            await reply.whole(_json({"object": "list", "data": models}))

    async def GetModel(self, request: rest_pb2.GetModelRequest, context: Context) -> None:
        async with _Reply(context) as reply:
            route = self._routes(context).get(request.id)
            if route is None:
                raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{request.id}".', param="model")
            await reply.whole(_json(_model(route.name, route.upstreams[0].provider)))

    async def Health(self, request: rest_pb2.HealthRequest, context: Context) -> None:
        async with _Reply(context) as reply:
            await reply.whole(_json({"status": "OK"}))

    def _routes(self, context: Context) -> Mapping[str, Route]:
        """What the caller may see."""
        consumers = self._gateway.consumers
        return consumers.routes(consumers.of(caller_of(context)))

    async def _inference(self, body: bytes, context: Context, task: Task, unary: str, streamed: str) -> None:
        async with _Reply(context) as reply:
            caller = caller_of(context)
            consumer = self._gateway.consumers.of(caller)
            side = _FORMAT.client[task]
            try:
                envelope = side.open(body)
                if envelope.stream and side.encode_chunk is None:
                    raise GatewayError(Kind.INVALID_REQUEST, "This call cannot be streamed.", param="stream")
            except GatewayError as error:
                self._count_refused(unary, consumer, error)
                raise
            call = _call(caller, consumer, task, streamed if envelope.stream else unary, envelope)
            if envelope.stream:
                await self._stream(call, side, reply)
                return
            answer = await self._gateway.unary(call)
            reply.upstream = answer.upstream
            await reply.whole(side.encode_response(answer.message) if answer.body is None else answer.body)

    def _count_refused(self, operation: str, consumer: Consumer, error: GatewayError) -> None:
        """A body that could not be opened: no call began, but the caller was answered."""
        record = Record(self._metrics, operation, "", consumer.name)
        record.failed(error, deadline=None)
        record.close()

    async def _stream(self, call: Call, side: ClientSide, reply: _Reply) -> None:
        assert side.encode_chunk is not None
        assert call.envelope is not None
        wants_usage = call.envelope.include_usage
        pieces: AsyncGenerator[Any, None] = self._gateway.stream(call)
        async with aclosing(pieces):
            async for piece in pieces:
                if piece is None:
                    await reply.events(_KEEPALIVE)
                elif isinstance(piece, bytes):
                    await reply.events(piece)
                else:
                    await reply.events(b"".join(side.encode_chunk(chunk, wants_usage) for chunk in piece))
        await reply.events(side.stream_end)


class _Reply:
    """One HTTP answer. As a context manager it turns what the body raises into an error answer, or into an in-band event
    once the answer has begun."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._request_id = request_id_of(context.invocation_metadata() or ())
        self._begun = False
        self.upstream: str | None = None

    async def __aenter__(self) -> _Reply:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None:
            return False
        if not isinstance(error, Exception):  # cancelled: nobody is there to read an answer
            return False
        if not isinstance(error, GatewayError):
            log.error("a bug in the gateway, request %s", self._request_id, exc_info=error)
            error = GatewayError(Kind.INTERNAL, "The gateway failed.")
        await self._fail(error)
        return True

    async def _fail(self, error: GatewayError) -> None:
        answer = answer_to(error)
        words = (answer.type, error.message, error.param, error.code or answer.code)
        if self._begun:
            assert _FORMAT.encode_stream_error is not None
            await self._write(_FORMAT.encode_stream_error(*words))
            return
        assert _FORMAT.encode_error is not None
        extra: list[tuple[str, str]] = []
        wait_s = retry_after_s(error)
        if wait_s is not None:
            extra.append(("retry-after", str(max(1, math.ceil(wait_s)))))  # rounded up: earlier would be refused again
        if answer.http >= 424 and not client_may_retry(error):
            extra.append(("x-should-retry", "false"))  # SDKs retry 429 and 5xx unless told otherwise
        await self._begin(answer.http, JSON, extra)
        await self._write(_FORMAT.encode_error(*words))

    async def whole(self, body: bytes) -> None:
        """A JSON answer with status 200."""
        await self._begin(200, JSON, [])
        await self._write(body, JSON)

    async def events(self, data: bytes) -> None:
        """Server-sent events, whole ones; the first call begins the answer."""
        if not self._begun:
            await self._begin(200, EVENTS, [])
            await self._write(data, EVENTS)
        elif data:
            await self._write(data)

    async def _begin(self, status: int, content_type: str, extra: list[tuple[str, str]]) -> None:
        self._begun = True
        metadata = [
            ("x-http-status", str(status)),
            ("x-http-content-type", content_type),
            ("x-request-id", self._request_id),
            *extra,
        ]
        if self.upstream is not None:
            metadata.append(("x-sidecar-upstream", self.upstream))
        await self._context.send_initial_metadata(tuple(metadata))

    async def _write(self, data: bytes, content_type: str = "") -> None:
        """In pieces; the first message of an answer says its content type too (Envoy reads it there)."""
        if len(data) <= PIECE_BYTES_MAX:
            await self._context.write(HttpBody(content_type=content_type, data=data))
            return
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES_MAX):
            await self._context.write(
                HttpBody(
                    content_type=content_type if start == 0 else "", data=bytes(view[start : start + PIECE_BYTES_MAX])
                )
            )


def _call(caller: Caller, consumer: Consumer, task: Task, operation: str, envelope: Envelope) -> Call:
    return Call(
        task=task,
        operation=operation,
        route=envelope.model,
        consumer=consumer,
        request_id=caller.request_id,
        stream=envelope.stream,
        deadline=caller.deadline,
        envelope=envelope,
        client_format=_FORMAT.name,
    )


def _model(name: str, provider: str) -> dict[str, object]:
    # `created` is required by OpenAI's clients; a route has no such date, and 0 says so.
    return {"id": name, "object": "model", "created": 0, "owned_by": provider}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

"""Calls of a route, whatever API they came through."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from google.api.httpbody_pb2 import HttpBody

from adapters import ClientSide, Envelope, GatewayError, Kind, StreamWriter, Task
from adapters import Context as FormatContext
from adapters.responses import ResponseWriter, not_kept
from sidecar.domain.call import Call, Count
from sidecar.domain.caller import Caller
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Consumer, Route
from sidecar.gateway.attempt import new_id
from sidecar.gateway.gateway import Gateway
from sidecar.transport.caller import Context, caller_of
from sidecar.worker.rest.error_bodies import Shape
from sidecar.worker.rest.remembering import Kept, RememberedResponses
from sidecar.worker.rest.reply import Reply, answers_in
from sidecar.worker.rest.request_coding import COMPRESSED, decompressed

_Opened = TypeVar("_Opened")
# Metric labels: (whole answer, stream).
COUNT_TOKENS = "count_tokens"
OPERATIONS: Mapping[Task, tuple[str, str]] = {
    Task.CHAT: ("chat", "stream_chat"),
    Task.COMPLETIONS: ("complete", "stream_complete"),
    Task.EMBEDDINGS: ("embed", "embed"),
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a caller communicates: its format per task, the name of the format that its bodies are decoded from, and
    the metric labels of its calls."""

    format: str
    sides: Mapping[Task, ClientSide]
    operations: Mapping[Task, tuple[str, str]] = field(default_factory=lambda: OPERATIONS)
    compacts: bool = False


class RouteCalls:
    """What all groups of paths share."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def consumer(self, context: Context) -> Consumer:
        """Returns the caller's consumer. Raises unauthenticated."""
        return self._gateway.consumers.of(caller_of(context))

    def routes(self, consumer: Consumer) -> Mapping[str, Route]:
        """The routes that the consumer can see, in configured order."""
        return self._gateway.consumers.routes(consumer)

    def route(self, consumer: Consumer, name: str) -> Route | None:
        """Returns the route that answers to `name`, carrying that name; None if the consumer may not call any such
        route."""
        return self._gateway.consumers.shown(consumer, name)

    async def named_in_body(
        self,
        reply: Reply,
        body: bytes,
        task: Task,
        dialect: Dialect,
        query: str = "",
        memory: RememberedResponses | None = None,
    ) -> None:
        """Serves a call whose body names the route. `query` is passed on to a provider of the same format. `memory`
        holds the earlier answers that the body may continue."""
        caller = caller_of(reply.context, reply.request_id)
        consumer = self._gateway.consumers.of(caller)
        side = dialect.sides[task]
        if body[:1] in COMPRESSED:
            body = await self._decompressed(body, reply, dialect.operations[task][0], caller, consumer)
        size = len(body)
        try:
            envelope = side.open(body) if size <= LARGE_BYTES else await off_loop(size, side.open, body)
        except GatewayError as error:
            self._count_refused(error, dialect.operations[task][0], caller, consumer)
            raise
        if side.headers:
            envelope = envelope._replace(headers=headers_of(reply.context, side.headers), query=query)
        kept = None
        if memory is not None and memory.on:
            reading = memory.opened(consumer, envelope)
            envelope, kept = await self._opened(reading, dialect.operations[task][0], caller, consumer)
            size = sum(len(raw) for raw in envelope.members.values())
        await self._answer(reply, caller, consumer, task, envelope, dialect, size, kept)

    async def named_in_path(
        self,
        reply: Reply,
        name: str,
        body: bytes,
        choose: Callable[[Route, bytes], Dialect],
        task: Task | None = None,
    ) -> None:
        """Serves a call whose path names the route. The task is the route's unless `task` is given. `choose` picks
        the dialect for the body. Raises route_not_found, and what `choose` raises."""
        caller = caller_of(reply.context, reply.request_id)
        consumer = self._gateway.consumers.of(caller)
        route = self.route(consumer, name)
        task = task or (Task.CHAT if route is None else route.task)
        if body[:1] in COMPRESSED:
            body = await self._decompressed(body, reply, OPERATIONS[task][0], caller, consumer)

        def opened() -> tuple[Dialect, Envelope]:
            if route is None:
                raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{name[:128]}".', param="name")
            dialect = choose(route, body)
            return dialect, dialect.sides[task].open(body)

        size = len(body)
        dialect, envelope = await self._opened(off_loop(size, opened), OPERATIONS[task][0], caller, consumer)
        envelope = Envelope(envelope.members, name, envelope.stream, envelope.include_usage)
        await self._answer(reply, caller, consumer, task, envelope, dialect, size)

    async def count_tokens(
        self,
        reply: Reply,
        body: bytes,
        task: Task,
        dialect: Dialect,
        query: str = "",
        memory: RememberedResponses | None = None,
    ) -> Count:
        """Counts the tokens of a body that names its route; see Gateway.count_tokens."""
        caller = caller_of(reply.context, reply.request_id)
        consumer = self._gateway.consumers.of(caller)
        side = dialect.sides[task]
        if body[:1] in COMPRESSED:
            body = await self._decompressed(body, reply, COUNT_TOKENS, caller, consumer)
        size = len(body)
        envelope = await self._opened(off_loop(size, side.open, body), COUNT_TOKENS, caller, consumer)
        if memory is not None and memory.on:
            reading = memory.opened(consumer, envelope)
            envelope, _ = await self._opened(reading, COUNT_TOKENS, caller, consumer)
        call = Call(
            task=task,
            operation=COUNT_TOKENS,
            route=envelope.model,
            consumer=consumer,
            request_id=caller.request_id,
            deadline=caller.deadline,
            envelope=envelope._replace(headers=headers_of(reply.context, side.headers), query=query),
            client_format=dialect.format,
            size_bytes=size,
            counts=True,
        )
        return await self._gateway.count_tokens(call)

    async def _opened(self, opened: Awaitable[_Opened], operation: str, caller: Caller, consumer: Consumer) -> _Opened:
        """Counts a request whose body cannot be read: it never becomes a call, but its caller gets an answer."""
        try:
            return await opened
        except GatewayError as error:
            self._count_refused(error, operation, caller, consumer)
            raise

    async def _decompressed(
        self, body: bytes, reply: Reply, operation: str, caller: Caller, consumer: Consumer
    ) -> bytes:
        try:
            return await decompressed(body, reply.context)
        except GatewayError as error:
            self._count_refused(error, operation, caller, consumer)
            raise

    def _count_refused(self, error: GatewayError, operation: str, caller: Caller, consumer: Consumer) -> None:
        record = self._gateway.record(operation, "", consumer, caller.request_id)
        record.failed(error, deadline=None)
        record.close()

    async def _answer(
        self,
        reply: Reply,
        caller: Caller,
        consumer: Consumer,
        task: Task,
        envelope: Envelope,
        dialect: Dialect,
        size_bytes: int,
        kept: Kept | None = None,
    ) -> None:
        side = dialect.sides[task]
        operation = dialect.operations[task][envelope.stream]
        if envelope.stream and (dialect.compacts or not side.streams):
            error = GatewayError(Kind.INVALID_REQUEST, "This call cannot be streamed.", param="stream")
            await self._opened(_raise(error), operation, caller, consumer)
        call = Call(
            task,
            operation,
            envelope.model,
            consumer,
            caller.request_id,
            envelope.stream,
            caller.deadline,
            None,
            envelope,
            dialect.format,
            size_bytes,
            compacts=dialect.compacts,
        )
        if envelope.stream:
            await self._stream(call, side, reply, kept)
            return
        answer = await self._gateway.unary(call)
        reply.goes_with(answer)
        if answer.body is not None:
            await reply.whole(answer.body)
            return
        if side.whole is None:
            body = await off_loop(answer.size_bytes, side.encode_response, answer.message)
        else:
            context = FormatContext(int(time.time()), new_id if kept is None else kept.ids)
            body = await off_loop(answer.size_bytes, side.whole, envelope, answer.message, context)
            if kept is not None and not await kept.keep(body):
                body = await off_loop(len(body), not_kept, body)
        await reply.whole(body)

    async def _stream(self, call: Call, side: ClientSide, reply: Reply, kept: Kept | None) -> None:
        assert call.envelope is not None
        encode, wants_usage = side.encode_chunk, call.envelope.include_usage
        written = None if encode is None else lambda chunk: encode(chunk, wants_usage)
        writer: StreamWriter | None = None
        context = FormatContext(int(time.time()), new_id if kept is None else kept.ids)
        passing = None if side.passing is None else side.passing(call.envelope, context)
        if passing is not None:
            reply.written_by(passing)
        async with self._gateway.stream(call, reply.keep_alive, written) as answer:
            reply.goes_with(answer)
            async for piece in answer:
                if isinstance(piece, bytes):
                    if passing is not None:
                        await off_loop(len(piece), passing.passed, piece)
                    await reply.events(piece)
                elif piece is None:
                    await reply.events(side.keepalive)
                else:
                    if writer is None:
                        writer = _writer(side, call.envelope, context, reply)
                    await reply.events(await off_loop(answer.piece_bytes, writer.feed, piece))
        if kept is not None and isinstance(writer, ResponseWriter):
            await reply.events(writer.finish())
            await reply.events(writer.last(kept=await kept.keep(writer.whole)))
            return
        ending = writer or passing
        await reply.events(side.stream_end if ending is None else ending.end())


class _Paths(Protocol):
    """A group of paths. `memory` holds the earlier answers that its bodies may continue."""

    calls: RouteCalls
    memory: RememberedResponses | None


def body_names_route(
    shape: Shape, task: Task, dialect: Dialect
) -> Callable[[_Paths, HttpBody, Context], Awaitable[None]]:
    """Makes a method for a path whose body names the route; its errors have this shape."""

    def serve(paths: _Paths, request: HttpBody, reply: Reply) -> Awaitable[None]:
        return paths.calls.named_in_body(reply, request.data, task, dialect, memory=paths.memory)

    return answers_in(shape)(serve)


def _writer(side: ClientSide, envelope: Envelope, context: FormatContext, reply: Reply) -> StreamWriter:
    assert side.writer is not None
    writer = side.writer(envelope, context)
    reply.written_by(writer)
    return writer


def headers_of(context: Context, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Returns those headers of the caller, unchanged. A repeated header is joined with commas."""
    found: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if key in names and isinstance(value, str) and value:
            found[key] = f"{found[key]}, {value}" if key in found else value
    return tuple(found.items())


async def _raise(error: GatewayError) -> None:
    raise error

"""One call: find the route, choose the upstream, translate, send, account. Knows neither gRPC nor REST.

A caller's body in the upstream's own format is patched, not translated (DESIGN 3); everything else goes through the canonical
message. Both ways share everything else.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from adapters._chunks import has_output

from adapters import FORMATS, Context, Decoder, Envelope, Format, GatewayError, HttpCall, Kind, ProviderSide, Task
from adapters._sse import Parser
from sidecar.accounting import Record
from sidecar.credentials import headers_for, redact
from sidecar.metrics import Metrics
from sidecar.snapshot import Route, Snapshot, Upstream, target_of
from sidecar.upstream import UpstreamClient, UpstreamResponse, read_failure

log = logging.getLogger(__name__)

# A failed answer's body: enough for any provider's error object, and for the head of an HTML page.
_ERROR_BODY_BYTES_MAX = 256 * 1024
# SSE comments keep load balancers from cutting a silent stream; the shortest common idle limit is 30 s.
KEEPALIVE_S = 15.0


@dataclass(slots=True)
class Call:
    """What a servicer hands over: who calls which route with what.

    Either `request` (a canonical message) or `envelope` with `client_format` (a body not translated yet) is set.
    `deadline` is the caller's, on the event loop's clock; None where the caller set none.
    """

    task: Task
    operation: str  # metric label: chat, stream_chat, complete, stream_complete, embed
    route: str
    consumer: str
    request_id: str
    stream: bool = False
    deadline: float | None = None
    request: Any = None
    envelope: Envelope | None = None
    client_format: str | None = None


@dataclass(slots=True)
class Answer:
    """A whole answer: `body` where the provider's bytes pass unchanged, else `message`."""

    upstream: str
    body: bytes | None = None
    message: Any = None


# A piece of a streamed answer: bytes to pass on, canonical chunks, or None for "still silent".
Piece = bytes | list[Any] | None


@dataclass(slots=True)
class _Attempt:
    """One upstream, ready to be called."""

    upstream: Upstream
    format: Format
    side: ProviderSide
    passthrough: bool
    http: HttpCall
    headers: tuple[tuple[str, str], ...]
    context: Context


class Gateway:
    """Serves calls by a snapshot; `snapshot` is replaced by one assignment, calls under way keep theirs."""

    def __init__(self, snapshot: Snapshot, client: UpstreamClient, metrics: Metrics) -> None:
        self.snapshot = snapshot
        self._client = client
        self._metrics = metrics

    async def unary(self, call: Call) -> Answer:
        """Answers a call whole. Raises GatewayError, its message fit to be shown."""
        record = Record(self._metrics, call.operation, call.route, call.consumer)
        try:
            route = find_route(self.snapshot, call, record)
            attempt = self._prepare(route, call)
            with _shown_safely(attempt.upstream):
                return await self._unary(route, attempt, call, record)
        except BaseException as error:
            record.failed(error, deadline=call.deadline)
            raise
        finally:
            record.close()

    async def _unary(self, route: Route, attempt: _Attempt, call: Call, record: Record) -> Answer:
        deadline = _deadline(route, call)
        name = attempt.upstream.provider
        record.upstream_begins(name)
        waiting = time.perf_counter()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._client.open(attempt.http, attempt.upstream, attempt.headers, route.timeouts)
                try:
                    body = await _read_all(response, route, attempt)
                finally:
                    response.close()
        except TimeoutError:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not answer in time.") from None
        finally:
            record.waited_s += time.perf_counter() - waiting
        if attempt.passthrough and attempt.side.check is not None:
            record.usage = attempt.side.check(body)
            return Answer(name, body=body)
        message = attempt.side.decode(body, attempt.context)
        if message.HasField("usage"):
            record.usage = message.usage
        return Answer(name, message=message)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answers a call as it is produced. The first piece comes with the first semantic output, so a GatewayError raised
        before it can still become a status. Close the generator in any case: that closes the provider's socket."""
        record = Record(self._metrics, call.operation, call.route, call.consumer)
        try:
            route = find_route(self.snapshot, call, record)
            attempt = self._prepare(route, call)
            with _shown_safely(attempt.upstream):
                async for piece in self._stream(route, attempt, call, record):
                    suspended = time.perf_counter()
                    yield piece
                    record.waited_s += time.perf_counter() - suspended
        except BaseException as error:
            record.failed(error, deadline=call.deadline)
            raise
        finally:
            record.close()

    async def _stream(self, route: Route, attempt: _Attempt, call: Call, record: Record) -> AsyncGenerator[Piece, None]:
        clock = _StreamClock(route, _deadline(route, call))
        record.upstream_begins(attempt.upstream.provider)
        waiting = time.perf_counter()
        try:
            async with asyncio.timeout_at(clock.limit()):
                response = await self._client.open(attempt.http, attempt.upstream, attempt.headers, route.timeouts)
        except TimeoutError:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider sent no output in time.") from None
        finally:
            record.waited_s += time.perf_counter() - waiting
        try:
            await _refuse_failed_answer(response, attempt)
            async for piece in _pieces(response, route, attempt, call, record, clock):
                yield piece
            await response.finish()
        finally:
            response.close()

    def _prepare(self, route: Route, call: Call) -> _Attempt:
        """Encodes the call for the route's upstream."""
        upstream = route.upstreams[0]
        target = target_of(upstream)
        format_ = FORMATS[target.provider.format]
        side = format_.provider.get(route.task)
        if side is None or (call.stream and side.stream is None):
            raise GatewayError(
                Kind.INVALID_REQUEST, f'Provider "{upstream.provider}" has no {"streamed " * call.stream}{route.task}.'
            )
        context = Context(int(time.time()), _new_id)
        passthrough = call.envelope is not None and call.client_format == format_.name and side.patch is not None
        if passthrough:
            assert call.envelope is not None
            assert side.patch is not None
            http = side.patch(call.envelope, target)
        else:
            if call.request is None:
                assert call.envelope is not None
                assert call.client_format is not None
                call.request = FORMATS[call.client_format].client[call.task].decode_request(call.envelope)
            http = side.encode(call.request, target, call.stream, context)
        return _Attempt(upstream, format_, side, passthrough, http, headers_for(upstream, target.provider), context)


def find_route(snapshot: Snapshot, call: Call, record: Record | None = None) -> Route:
    """The call's route. Raises route_not_found, or invalid_request where the route does something else."""
    route = snapshot.routes.get(call.route)
    if route is None:
        raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{call.route[:128]}".', param="model")
    if record is not None:
        record.route_known()
    if route.task != call.task:
        raise GatewayError(
            Kind.INVALID_REQUEST,
            f'Route "{route.name}" is of type llm/v1/{route.task}, this call of llm/v1/{call.task}.',
            param="model",
        )
    return route


def _deadline(route: Route, call: Call) -> float:
    own = asyncio.get_running_loop().time() + route.timeouts.total_s
    return own if call.deadline is None else min(own, call.deadline)


def _new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


class _shown_safely:  # noqa: N801 - reads as a phrase at its place of use
    """Takes keys out of an error's text and puts our own words in place of a provider's about our credentials."""

    __slots__ = ("_upstream",)

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, GatewayError):
            return
        error.message = redact(error.message, self._upstream)
        if error.kind is not Kind.INVALID_REQUEST and error.status is not None:
            log.warning("provider %s answered %s: %s", self._upstream.provider, error.status, error.message)
        if error.kind is Kind.UPSTREAM_REJECTED_CREDENTIALS:
            error.message = f'Provider "{self._upstream.provider}" rejected the gateway\'s credentials.'
            error.code = None
        error.args = (error.message,)
        if error.code is not None:
            error.code = redact(error.code, self._upstream)
        if error.param is not None:
            error.param = redact(error.param, self._upstream)


async def _read_all(response: UpstreamResponse, route: Route, attempt: _Attempt) -> bytes:
    """The body of a good answer. Raises the provider's error for any other."""
    await _refuse_failed_answer(response, attempt)
    return await _read_body(response, route.response_bytes_max, route.timeouts.idle_s)


async def _read_body(response: UpstreamResponse, bytes_max: int, idle_s: float, *, cut: bool = False) -> bytes:
    """The body. Larger than `bytes_max`: cut there, or upstream_protocol."""
    parts: list[bytes] = []
    size = 0
    while True:
        try:
            async with asyncio.timeout(idle_s):
                data = await response.read_some()
        except Exception as error:
            raise read_failure(error) from error
        if not data:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        size += len(data)
        parts.append(data)
        if size > bytes_max:
            if cut:
                return b"".join(parts)[:bytes_max]
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is larger than {bytes_max} bytes.")


async def _refuse_failed_answer(response: UpstreamResponse, attempt: _Attempt) -> None:
    if 200 <= response.status < 300:
        return
    if 300 <= response.status < 400:
        raise GatewayError(
            Kind.UPSTREAM_PROTOCOL,
            "The provider answered with a redirect, which is not followed.",
            status=response.status,
        )
    try:
        body = await _read_body(response, _ERROR_BODY_BYTES_MAX, idle_s=10.0, cut=True)
    except GatewayError:
        body = b""  # the status alone says enough
    raise attempt.format.error(response.status, response.headers, body)


class _StreamClock:
    """When the next byte must be here. Runs only while we wait for the provider, so a slow client costs the provider nothing."""

    __slots__ = ("_deadline", "_first_until", "_idle_s", "_loop", "output")

    def __init__(self, route: Route, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._first_until = self._loop.time() + route.timeouts.first_output_s
        self._idle_s = route.timeouts.idle_s
        self.output = False

    def limit(self) -> float:
        """On the loop's clock."""
        patience = self._loop.time() + self._idle_s if self.output else self._first_until
        return min(patience, self._deadline)

    async def read(self, response: UpstreamResponse, limit: float) -> bytes | None:
        """The next bytes, b"" at the end, None after KEEPALIVE_S of silence once output has begun."""
        keepalive = self._loop.time() + KEEPALIVE_S
        early = self.output and keepalive < limit
        try:
            async with asyncio.timeout_at(keepalive if early else limit):
                return await response.read_some()
        except TimeoutError:
            if early:
                return None
            raise


async def _pieces(
    response: UpstreamResponse, route: Route, attempt: _Attempt, call: Call, record: Record, clock: _StreamClock
) -> AsyncGenerator[Piece, None]:
    """Bytes from the provider -> events -> chunks, held back until the first semantic output."""
    assert attempt.side.stream is not None
    translator = _Translator(attempt, call, attempt.side.stream(target_of(attempt.upstream), attempt.context))
    size = 0
    limit = clock.limit()
    while not translator.done:
        waiting = time.perf_counter()
        try:
            data = await clock.read(response, limit)
        except Exception as error:
            raise _after_output(read_failure(error), clock) from error
        finally:
            record.waited_s += time.perf_counter() - waiting
        if data is None:
            yield None
            continue
        size += len(data)
        if size > route.response_bytes_max:
            too_large = f"The provider's answer is larger than {route.response_bytes_max} bytes."
            raise _after_output(GatewayError(Kind.UPSTREAM_PROTOCOL, too_large), clock)
        try:
            translator.feed(data)
        except GatewayError as error:
            if clock.output and (piece := translator.take()):
                yield piece
            raise _after_output(error, clock) from error
        record.usage = translator.usage or record.usage
        if translator.output and not clock.output:
            clock.output = True
            record.first_output()
        limit = clock.limit()
        if clock.output and (piece := translator.take()):
            yield piece
        if not data:
            break
    if not clock.output:  # an answer without any output: its frame all the same
        record.first_output()
    if piece := translator.take():
        yield piece


def _after_output(error: GatewayError, clock: _StreamClock) -> GatewayError:
    """Once the caller has seen output, a broken answer is interrupted: nothing may be retried."""
    if clock.output and error.kind in (Kind.UPSTREAM_UNAVAILABLE, Kind.UPSTREAM_PROTOCOL):
        error.kind = Kind.UPSTREAM_INTERRUPTED
    return error


class _Translator:
    """A stream's bytes to what this caller gets: the provider's own events, or canonical chunks."""

    def __init__(self, attempt: _Attempt, call: Call, decoder: Decoder) -> None:
        self._parser = Parser()
        self._decoder = decoder
        self._passthrough = attempt.passthrough
        self._wants_usage = call.envelope is not None and call.envelope.include_usage
        self._raw: list[bytes] = []
        self._chunks: list[Any] = []
        self.output = False
        self.usage: Any = None

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes) -> None:
        """b"" is the end of the body. Raises GatewayError; what came before it in `data` can still be taken."""
        if not data:
            self._parser.close()
            self._keep(self._decoder.close(), b"")
            return
        for event in self._parser.feed(data):
            chunks = self._decoder.feed(event)
            self._keep(chunks, b"" if self._decoder.done and not chunks else event.raw)
            if self._decoder.done:
                return

    def _keep(self, chunks: list[Any], raw: bytes) -> None:
        only_usage = False
        for chunk in chunks:
            if chunk.HasField("usage"):
                self.usage = chunk.usage
                only_usage = not chunk.choices
            if not self.output and has_output(chunk):
                self.output = True
        if not self._passthrough:
            self._chunks.extend(chunks)
        elif raw and not (only_usage and not self._wants_usage):
            self._raw.append(raw)

    def take(self) -> Piece:
        """What has come since the last time; falsy if nothing."""
        if self._passthrough:
            raw, self._raw = self._raw, []
            return b"".join(raw)
        chunks, self._chunks = self._chunks, []
        return chunks

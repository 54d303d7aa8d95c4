"""One HTTP answer over gRPC: status and headers as initial metadata, the body in pieces; the RPC ends OK."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import TypeVar

from google.api.httpbody_pb2 import HttpBody

from adapters import GatewayError, Kind, PassedStream, StreamWriter
from sidecar.domain.call import Answer, Count, Headers
from sidecar.domain.snapshot import Timeouts
from sidecar.domain.status import client_may_retry, retry_after_s
from sidecar.gateway.stream import StreamedAnswer
from sidecar.transport.abort import abort
from sidecar.transport.caller import ClientStalled, Context, request_id_of, taken_within, write_within
from sidecar.upstream import internal_failure
from sidecar.worker.rest.error_bodies import OPENAI, Shape, with_code
from sidecar.worker.rest.json import written

log = logging.getLogger(__name__)

# Envoy buffers whole messages, and answers 500 if one exceeds its limit.
PIECE_BYTES_MAX = 64 * 1024
JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
KEEPALIVE = b": keep-alive\n\n"  # a comment, which SSE parsers skip
# Proxies between us and the caller allow 4 to 8 KiB for all headers together.
LEFT_OUT_BYTES_MAX = 1024


_Paths = TypeVar("_Paths")
_Request = TypeVar("_Request")


def answers_in(
    shape: Shape,
) -> Callable[
    [Callable[[_Paths, _Request, Reply], Awaitable[None]]], Callable[[_Paths, _Request, Context], Awaitable[None]]
]:
    """Decorates a method of a group of paths: passes it a Reply for its answer, and turns exceptions into error
    answers of this shape."""
    return answers_by(lambda context: shape)


def answers_by(
    shape_of: Callable[[Context], Shape],
) -> Callable[
    [Callable[[_Paths, _Request, Reply], Awaitable[None]]], Callable[[_Paths, _Request, Context], Awaitable[None]]
]:
    """Like `answers_in`, for a path whose callers expect different shapes."""

    def decorated(
        method: Callable[[_Paths, _Request, Reply], Awaitable[None]],
    ) -> Callable[[_Paths, _Request, Context], Awaitable[None]]:
        @wraps(method)
        async def serve(paths: _Paths, request: _Request, context: Context) -> None:
            reply = Reply(context, shape_of(context))
            try:
                await method(paths, request, reply)
            except BaseException as error:  # noqa: BLE001  # re-raised if the caller is gone
                await reply.error(error)

        return serve

    return decorated


class Reply:
    """The answer to one call, created by `answers_in`. Send it with one of `error`, `json`, `whole`, `file` and
    `events`."""

    __slots__ = ("_answer", "_begun", "_shape", "_write_s", "_writer", "context", "request_id")

    def __init__(self, context: Context, shape: Shape = OPENAI) -> None:
        self.context = context
        self._shape = shape
        self.request_id = request_id_of(context.invocation_metadata() or ())
        self._begun = False
        self._answer: Answer | StreamedAnswer | None = None
        self._writer: StreamWriter | PassedStream | None = None
        self._write_s = Timeouts().write_s

    def goes_with(self, answer: Answer | StreamedAnswer) -> None:
        """Marks the answer as an upstream's, so that its headers name the upstream, the limits and what was left
        out."""
        self._answer = answer
        self._write_s = answer.write_s

    def written_by(self, writer: StreamWriter | PassedStream) -> None:
        """Makes `writer` the source of events, including the one for a failure."""
        self._writer = writer

    async def error(self, error: BaseException) -> None:
        """Sends an error answer of the path's shape, or an in-band event if the answer has started. Re-raises an
        error that cannot be delivered."""
        if isinstance(error, ClientStalled):  # no further message can be sent
            await abort(self.context, error)
        if not isinstance(error, Exception):  # cancelled
            raise error
        if not isinstance(error, GatewayError):
            error = self._our_own(error)
        if self._begun:
            writer = self._writer
            event = self._shape.event if writer is None else writer.failed
            await self._write(event(with_code(error) if writer else error, self.request_id))
            return
        status = self._shape.status(error)
        extra = [*error.headers]
        wait_s = retry_after_s(error)
        if wait_s is not None:
            # rounded up, since an earlier retry would be refused again
            extra.append(("retry-after", str(max(1, math.ceil(wait_s)))))
        if status >= 424 and not client_may_retry(error):
            extra.append(("x-should-retry", "false"))  # otherwise SDKs retry 429 and 5xx
        _append_left_out(extra, error.left_out)
        self._answer = None
        await self._begin(status, JSON, tuple(extra))
        await self._write(self._shape.body(error, self.request_id))

    def _our_own(self, error: Exception) -> GatewayError:
        if (short := internal_failure(error)) is not None:
            log.error("out of file descriptors or memory in request %s: %s", self.request_id, type(error).__name__)
            return short
        log.error("unexpected exception in request %s; this is a bug in the gateway", self.request_id, exc_info=error)
        return GatewayError(Kind.INTERNAL, "The gateway failed.")

    async def json(self, value: object) -> None:
        """Sends JSON of our own with status 200."""
        await self.whole(written(value))

    async def count(self, count: Count, value: object) -> None:
        """Sends a token count: the provider's body if it passes through, else `value`. A header marks an estimate."""
        if not count.estimated:
            self.goes_with(count.answer)
            await self.whole(written(value) if count.answer.body is None else count.answer.body)
            return
        await self.file(JSON, written(value), [("x-sidecar-estimated", "input_tokens"), *count.answer.headers])

    async def whole(self, body: bytes) -> None:
        """Sends a JSON answer with status 200."""
        if len(body) > PIECE_BYTES_MAX:
            await self._begin(200, JSON, ())
            await self._write(body, JSON)
            return
        self._begun = True
        rest = self.context.begin_answer(self._head(200, JSON, ()), HttpBody(content_type=JSON, data=body))
        if rest is not None:
            await taken_within(self._write_s, rest)

    async def file(self, content_type: str, body: bytes, headers: list[tuple[str, str]], status: int = 200) -> None:
        """Sends something other than JSON. `headers` must be among those that the fronts copy."""
        await self._begin(status, content_type, tuple(headers))
        await self._write(body, content_type)

    async def events(self, data: bytes) -> None:
        """Sends complete server-sent events. The first call starts the answer."""
        if not self._begun:
            await self._begin(200, EVENTS, ())
            await self._write(data, EVENTS)
        elif data:
            await self._write(data)

    async def keep_alive(self, headers: Headers) -> None:
        """Sends an SSE comment as a keepalive. The first one starts the answer, before its upstream is known."""
        if self._begun:
            await self._write(KEEPALIVE)
        else:
            await self._begin(200, EVENTS, headers)
            await self._write(KEEPALIVE, EVENTS)

    async def _begin(self, status: int, content_type: str, extra: Headers) -> None:
        self._begun = True
        await self.context.send_initial_metadata(self._head(status, content_type, extra))

    def _head(self, status: int, content_type: str, extra: Headers) -> list[tuple[str, str]]:
        """The initial metadata of the answer."""
        metadata = [
            ("x-http-status", str(status)),
            ("x-http-content-type", content_type),
            ("x-request-id", self.request_id),
            *extra,
        ]
        if self._shape.id_header is not None:
            metadata.append((self._shape.id_header, self.request_id))
        answer = self._answer
        if answer is not None:
            metadata.append(("x-sidecar-upstream", answer.upstream))
            metadata.extend(answer.headers)
            if answer.left_out:
                _append_left_out(metadata, answer.left_out)
        return metadata

    async def _write(self, data: bytes, content_type: str = "") -> None:
        """Sends data in pieces. The first message also carries the content type, which Envoy reads from there."""
        if len(data) <= PIECE_BYTES_MAX:
            await write_within(self.context, self._write_s, HttpBody(content_type=content_type, data=data))
            return
        view = memoryview(data)
        for start in range(0, len(view), PIECE_BYTES_MAX):
            piece = bytes(view[start : start + PIECE_BYTES_MAX])
            message = HttpBody(content_type=content_type if start == 0 else "", data=piece)
            await write_within(self.context, self._write_s, message)


def _append_left_out(metadata: list[tuple[str, str]], names: tuple[str, ...]) -> None:
    if names:
        metadata.append(("x-sidecar-left-out", names_within(names, LEFT_OUT_BYTES_MAX)))


def names_within(names: Sequence[str], bytes_max: int) -> str:
    """Joins the names with commas, replacing those that exceed `bytes_max` by their number: "a, b, and 17 more"."""
    shown = ", ".join(names)
    kept = len(names)
    while len(shown) > bytes_max:
        kept -= 1
        shown = ", ".join((*names[:kept], f"and {len(names) - kept} more"))
    return shown

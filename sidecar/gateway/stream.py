"""A streamed answer, as the servicer sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from adapters import GatewayError, Kind
from sidecar.domain.call import Call, Headers, Piece
from sidecar.domain.large_work import off_loop
from sidecar.gateway.attempt import CallReader, Sender, prepare
from sidecar.gateway.keepalive import Keepalive
from sidecar.gateway.piece_reader import PieceReader, StreamClock
from sidecar.gateway.read_answer import raise_for_status
from sidecar.gateway.repeats import ChunkEncoder
from sidecar.gateway.retries import AttemptScope
from sidecar.upstream import TimeLimit, UpstreamResponse

if TYPE_CHECKING:
    from sidecar.gateway.gateway import CallScope

# Sends a keepalive to the caller. The headers are those of limits and budgets.
OnSilence = Callable[[Headers], Awaitable[None]]


class StreamedAnswer:
    """A streamed answer: `async with` it, then `async for piece in` it.

    Entering waits for the first semantic output, so that a GatewayError up to then can still become a status, unless
    a keepalive has been sent before (`on_silence`, every `stream_keepalive_s` of the route). After entering,
    `upstream`, `left_out` and `write_s` are known. Leaving before the end closes the connection to the provider.
    """

    __slots__ = (
        "_attempt",
        "_call",
        "_encode_chunk",
        "_first",
        "_loop",
        "_on_silence",
        "_open",
        "_reader",
        "_response",
        "_scope",
        "_sender",
        "_since_s",
    )

    def __init__(
        self,
        call: Call,
        scope: CallScope,
        sender: Sender,
        on_silence: OnSilence | None,
        encode_chunk: ChunkEncoder | None,
    ) -> None:
        self._call = call
        self._on_silence = on_silence
        self._scope = scope
        self._sender = sender
        self._encode_chunk = encode_chunk
        self._open = True
        self._response: UpstreamResponse | None = None
        self._reader: PieceReader | None = None
        self._first: Piece = b""  # read on entering, not yet taken; falsy if there is none
        self._since_s = 0.0  # when the caller took the last piece

    @property
    def upstream(self) -> str:
        """Name of the upstream, as callers see it."""
        return self._loop.candidate.name

    @property
    def left_out(self) -> tuple[str, ...]:
        """Members of the request that the upstream cannot express."""
        return self._scope.record.left_out

    @property
    def write_s(self) -> float:
        """How long the client may take to accept a piece, in seconds."""
        return self._loop.candidates.route.timeouts.write_s

    @property
    def headers(self) -> Headers:
        """Headers of limits and budgets: as of admission, or as of settlement once the stream has ended."""
        return self._scope.record.headers

    @property
    def piece_bytes(self) -> int:
        """Bytes received for the newest piece: a measure of what encoding it costs."""
        return 0 if self._reader is None else self._reader.piece_bytes

    @property
    def usage(self) -> Any:
        """The usage reported so far, or None."""
        return self._scope.record.usage

    async def __aenter__(self) -> Self:
        reader = CallReader(self._call)

        async def begin(attempt: AttemptScope) -> Piece:
            try:
                return await self._begin(attempt, reader)
            except BaseException:
                self._close_response()
                raise

        try:
            self._loop = await self._scope.open()
            await self._until_output(begin)
        except BaseException as error:  # noqa: BLE001  # re-raised
            self._open = False
            raise self._scope.failed(error) from error.__cause__
        self._since_s = time.perf_counter()
        return self

    async def _until_output(self, begin: Callable[[AttemptScope], Awaitable[Piece]]) -> None:
        """Runs attempts until one has output, sending keepalives if that takes long."""
        every_s, send = self._loop.candidates.route.stream_keepalive_s, self._on_silence
        if send is None or not every_s:
            self._first = await self._loop.run(begin)
            return
        keepalive = Keepalive(every_s, lambda: send(self._scope.record.headers))
        try:
            self._first = await self._loop.run(begin)
        except BaseException as error:
            await keepalive.finish(error)
            raise
        if keepalive.end() is not None:
            try:
                await keepalive.finish()
            except BaseException:
                self._close_response()
                self._attempt.failed(GeneratorExit())
                raise

    async def _begin(self, attempt: AttemptScope, reader: CallReader) -> Piece:
        """Reads up to the first output. The attempt stays open."""
        route, record = self._loop.candidates.route, self._scope.record
        prepared = await off_loop(self._call.size_bytes, prepare, attempt.candidate.plan, reader)
        attempt.mark_sent(prepared)
        clock = StreamClock(route, self._loop.deadline)
        waiting = time.perf_counter()
        try:
            async with TimeLimit(clock.limit()) as limit:
                self._response = response = await self._sender.open(prepared, route, record)
                await raise_for_status(response, prepared.plan.format)
            clock.extend_first_output(limit.until_s)
        except TimeoutError:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider sent no output in time.") from None
        finally:
            record.waited_s += time.perf_counter() - waiting
        self._reader = pieces = PieceReader(response, route, prepared, self._call, record, clock, self._encode_chunk)
        first = await pieces.next()
        attempt.mark_output()
        self._attempt = attempt
        return first

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        if not self._open:
            raise StopAsyncIteration
        self._scope.record.waited_s += time.perf_counter() - self._since_s
        assert self._reader is not None
        try:
            piece, self._first = self._first or await self._reader.next(), b""
            if piece is None or piece:
                self._since_s = time.perf_counter()
                return piece
            assert self._response is not None
            await self._response.finish()
        except BaseException as error:  # noqa: BLE001  # re-raised
            raise self._failed(error) from error.__cause__
        self._open = False
        self._close_response()
        self._attempt.succeeded()
        self._scope.end()
        raise StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """If the stream has not ended, the caller left or the call was cut."""
        if self._open:
            self._failed(error if isinstance(error, asyncio.CancelledError) else GeneratorExit())

    def _failed(self, error: BaseException) -> BaseException:
        self._open = False
        self._close_response()
        return self._scope.failed(self._attempt.failed(error))

    def _close_response(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
            self._reader = None  # releases what it has buffered, up to 64 MiB

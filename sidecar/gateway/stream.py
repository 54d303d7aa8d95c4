"""A streamed answer, as the servicer that passes it on sees it."""

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
from sidecar.gateway.piece_reader import PieceReader, StreamClock
from sidecar.gateway.read_answer import refuse_failed_answer
from sidecar.gateway.repeats import Written
from sidecar.gateway.retries import AttemptScope
from sidecar.gateway.silence import Silence
from sidecar.upstream import TimeLimit, UpstreamResponse

if TYPE_CHECKING:
    from sidecar.gateway.gateway import CallScope

# Tells the caller that the call is alive. The headers are those of limits and budgets.
OnSilence = Callable[[Headers], Awaitable[None]]


class StreamedAnswer:
    """A streamed answer: `async with` it, then `async for piece in` it.

    Entering waits for the first semantic output, so a GatewayError that it raises can still become a status, unless the caller
    was told before that the call is alive (`on_silence`, each `stream_keepalive_s` of the route); from then on
    `upstream`, `left_out` and `write_s` are known. Leaving closes the provider's socket at once unless the answer has ended.
    """

    __slots__ = (
        "_attempt",
        "_call",
        "_first",
        "_loop",
        "_on_silence",
        "_open",
        "_reader",
        "_response",
        "_scope",
        "_sender",
        "_since_s",
        "_written",
    )

    def __init__(
        self, call: Call, scope: CallScope, sender: Sender, on_silence: OnSilence | None, written: Written | None
    ) -> None:
        self._call = call
        self._on_silence = on_silence
        self._scope = scope
        self._sender = sender
        self._written = written
        self._open = True
        self._response: UpstreamResponse | None = None
        self._reader: PieceReader | None = None
        self._first: Piece = b""  # read on entering, not yet taken; falsy: none
        self._since_s = 0.0  # when the caller got a piece

    @property
    def upstream(self) -> str:
        """Its name, as callers see it."""
        return self._loop.candidate.name

    @property
    def left_out(self) -> tuple[str, ...]:
        """What of the request had no place at the upstream."""
        return self._scope.record.left_out

    @property
    def write_s(self) -> float:
        """How long the client may take for a piece."""
        return self._loop.candidates.route.timeouts.write_s

    @property
    def headers(self) -> Headers:
        """Those of limits and budgets: at the beginning as the call was admitted, after the end as it was settled."""
        return self._scope.record.headers

    @property
    def piece_bytes(self) -> int:
        """How much the provider sent of the newest piece before it was whole: what a large one costs to write."""
        return 0 if self._reader is None else self._reader.piece_bytes

    @property
    def usage(self) -> Any:
        """What the provider has counted so far; None: nothing."""
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
        except BaseException as error:  # noqa: BLE001  # it is raised again
            self._open = False
            raise self._scope.failed(error) from error.__cause__
        self._since_s = time.perf_counter()
        return self

    async def _until_output(self, begin: Callable[[AttemptScope], Awaitable[Piece]]) -> None:
        """Attempt after attempt. Of those that take long the caller is told meanwhile."""
        every_s, tell = self._loop.candidates.route.stream_keepalive_s, self._on_silence
        if tell is None or not every_s:
            self._first = await self._loop.run(begin)
            return
        silence = Silence(every_s, lambda: tell(self._scope.record.headers))
        try:
            self._first = await self._loop.run(begin)
        except BaseException as error:
            await silence.ended(error)
            raise
        if silence.end() is not None:
            try:
                await silence.ended()
            except BaseException:
                self._close_response()
                self._attempt.failed(GeneratorExit())
                raise

    async def _begin(self, attempt: AttemptScope, reader: CallReader) -> Piece:
        """Reads as far as the first output. The attempt stays open."""
        route, record = self._loop.candidates.route, self._scope.record
        prepared = await off_loop(self._call.size_bytes, prepare, attempt.candidate.plan, reader)
        attempt.sends(prepared)
        clock = StreamClock(route, self._loop.deadline)
        waiting = time.perf_counter()
        try:
            async with TimeLimit(clock.limit()) as limit:
                self._response = response = await self._sender.open(prepared, route, record)
                await refuse_failed_answer(response, prepared.plan.format)
            clock.head_was_due(limit.until_s)
        except TimeoutError:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider sent no output in time.") from None
        finally:
            record.waited_s += time.perf_counter() - waiting
        self._reader = pieces = PieceReader(response, route, prepared, self._call, record, clock, self._written)
        first = await pieces.next()
        attempt.has_output()
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
        except BaseException as error:  # noqa: BLE001  # it is raised again
            raise self._failed(error) from error.__cause__
        self._open = False
        self._close_response()
        self._attempt.succeeded()
        self._scope.end()
        raise StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Not before its end: the caller has left, whatever made it leave, or the call is cut."""
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
            self._reader = None  # with what it has read, which may be 64 MiB

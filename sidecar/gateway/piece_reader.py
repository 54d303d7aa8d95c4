"""Reads a streamed answer: bytes from the provider become events, then chunks, then pieces for the caller."""

from __future__ import annotations

import asyncio
import math
import time

from adapters import GatewayError, Kind, replace_error
from sidecar.domain.call import Call, Piece
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Route
from sidecar.gateway.attempt import PreparedCall
from sidecar.gateway.read_answer import before_output, cause_of, too_large
from sidecar.gateway.record import Record
from sidecar.gateway.repeats import ChunkEncoder
from sidecar.gateway.translator import Translator
from sidecar.upstream import UpstreamResponse, held_time, read_failure

# How much of a stream is buffered before its first output, while another upstream could still answer. A reasoning
# model that hides its reasoning sends an empty delta of 200 bytes for each of up to 64,000 tokens; the event with the
# first output does not count.
_SILENT_BYTES_MAX = 16 * 1024 * 1024
# The smallest events take 2 µs per byte to decode and encode.
_STEP_BYTES = 8 * 1024


class StreamClock:
    """Tracks when the next byte is due.

    Pauses while a slow client takes a piece, because that is not the provider's fault; only the deadline keeps
    running.
    """

    __slots__ = (
        "_deadline",
        "_first_until",
        "_held",
        "_held_s",
        "_idle_s",
        "_keepalive_s",
        "_limit",
        "_now",
        "_silent_since",
        "output",
    )

    def __init__(self, route: Route, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._held = held_time(loop)
        self._held_s = self._held.total_s(loop.time())
        self._deadline = deadline
        self._first_until = self._now() + route.timeouts.first_output_s
        self._idle_s = route.timeouts.idle_s
        self._keepalive_s = route.stream_keepalive_s or math.inf
        self._limit = 0.0
        self._silent_since: float | None = None  # when the caller received the keepalive
        self.output = False

    def limit(self) -> float:
        """Returns when the next bytes are due, in event loop time."""
        return self._start_wait(self._now())

    def next_timeout(self) -> float:
        """Like `limit`, or `stream_keepalive_s` from now if that is sooner and output has started."""
        now = self._now()
        limit, keepalive = self._start_wait(now), now + self._keepalive_s
        return keepalive if keepalive < limit and self.output else limit

    def is_final(self) -> bool:
        """Whether a timeout is final. If False, the caller only needs a keepalive and there is more time."""
        self._silent_since = self._now()
        return self._silent_since >= self._limit or not self.output

    def _start_wait(self, now: float) -> float:
        if self._silent_since is None:
            limit = now + self._idle_s if self.output else self._first_until
        else:
            limit = self._limit + now - self._silent_since
            self._silent_since = None
        self._limit = limit = limit if limit < self._deadline else self._deadline
        return limit

    def limit_passed(self) -> bool:
        """Whether the limit had passed before the bytes that were just read, since a provider that always has bytes
        ready never trips a timer. Time during which the event loop was blocked does not count, as it does not
        for timers."""
        now = self._now()
        if now < self._first_until and now < self._deadline:
            return False
        now -= self._held.total_s(now) - self._held_s
        return now >= self._deadline or (not self.output and now >= self._first_until)

    def extend_first_output(self, until_s: float) -> None:
        """Extends the limit of the first output to that of the head, which may have been moved."""
        self._first_until = max(self._first_until, until_s)


class PieceReader:
    """Turns a successful response into pieces, holding them back until the first semantic output."""

    __slots__ = (
        "_bytes_max",
        "_clock",
        "_ended",
        "_failure",
        "_record",
        "_response",
        "_size",
        "_translator",
        "piece_bytes",
    )

    def __init__(
        self,
        response: UpstreamResponse,
        route: Route,
        prepared: PreparedCall,
        call: Call,
        record: Record,
        clock: StreamClock,
        encode_chunk: ChunkEncoder | None,
    ) -> None:
        decoder = (prepared.side.observe if prepared.passes else None) or prepared.side.stream
        assert decoder is not None
        self._translator = Translator(prepared, call, decoder(prepared.plan.target, prepared.context), encode_chunk)
        self._response = response
        self._record = record
        self._clock = clock
        self._bytes_max = route.response_bytes_max
        self._size = 0
        self.piece_bytes = 0  # bytes that were buffered for the newest piece
        self._failure: GatewayError | None = None  # raised after the piece that preceded the failure
        self._ended = False

    async def next(self) -> Piece:
        """Returns the next piece: None asks for a keepalive, any other falsy value is the end. Raises GatewayError."""
        if self._failure is not None:
            raise self._failure
        clock, translator = self._clock, self._translator
        while not (self._ended or translator.done):
            data = await self._read()
            if data is None:
                return None
            self._size += len(data)
            if self._size > self._bytes_max:
                raise _failure_after(too_large(self._bytes_max), clock)
            if data and not clock.output and self._size > _SILENT_BYTES_MAX + translator.held_bytes:
                raise _no_output_within(_SILENT_BYTES_MAX)
            if data and clock.limit_passed():
                raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not finish in time.")
            self.piece_bytes = held_bytes = translator.held_bytes
            try:
                await self._feed(data)
            except GatewayError as error:
                failure = _failure_after(error, clock)
                if clock.output and (piece := translator.take()):
                    self._failure = failure
                    return piece
                raise failure from cause_of(failure, error)
            self._count()
            if not data:
                self._ended = True
            elif clock.output and (
                piece := translator.take() if held_bytes <= LARGE_BYTES else await off_loop(held_bytes, translator.take)
            ):
                return piece
        if not clock.output:  # an answer without any output still has a frame
            clock.output = True
            self._record.mark_first_output()
        return translator.take()

    async def _feed(self, data: bytes) -> None:
        """Feeds large data in steps, so that other calls get their turn in between. Raises GatewayError."""
        translator = self._translator
        if translator.held_bytes > LARGE_BYTES:
            await off_loop(translator.held_bytes, translator.feed, data)
            return
        if len(data) <= _STEP_BYTES or translator.held_bytes > _STEP_BYTES:
            translator.feed(data)
            return
        for at in range(0, len(data), _STEP_BYTES):
            if at:
                await asyncio.sleep(0)
            translator.feed(data[at : at + _STEP_BYTES])
            if translator.done:
                return

    async def _read(self) -> bytes | None:
        """Returns the next bytes, b"" at the end of the body, None if the provider is silent. Raises GatewayError."""
        clock = self._clock
        waiting = time.perf_counter()
        try:
            return await self._response.read_some(clock.next_timeout())
        except Exception as error:  # noqa: BLE001  # re-raised as a GatewayError
            if isinstance(error, TimeoutError) and not clock.is_final():
                return None
            failure = _failure_after(read_failure(error), clock)
            raise failure from cause_of(failure, error)
        finally:
            self._record.waited_s += time.perf_counter() - waiting

    def _count(self) -> None:
        translator, record = self._translator, self._record
        record.usage = translator.usage or record.usage
        record.service_tier = translator.service_tier
        if translator.output and not self._clock.output:
            self._clock.output = True
            self._response.gather()
            record.mark_first_output()
        if self._clock.output:
            record.output_events, record.output_chars = translator.events, translator.chars


def _no_output_within(bytes_max: int) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider sent {bytes_max} bytes of a stream without any output.")


def _failure_after(error: GatewayError, clock: StreamClock) -> GatewayError:
    """Marks a failure after the first output as interrupted: it must not be retried."""
    if not clock.output:
        return before_output(error)
    if error.kind in (Kind.UPSTREAM_UNAVAILABLE, Kind.UPSTREAM_PROTOCOL):
        return replace_error(error, kind=Kind.UPSTREAM_INTERRUPTED)
    return error

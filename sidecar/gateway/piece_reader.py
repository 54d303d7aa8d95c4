"""A streamed answer passing through: bytes from the provider, events, chunks, pieces for the caller."""

from __future__ import annotations

import asyncio
import math
import time

from adapters import GatewayError, Kind, replace_error
from sidecar.domain.call import Call, Piece
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Route
from sidecar.gateway.attempt import PreparedCall
from sidecar.gateway.read_answer import cause_of, too_large, without_output
from sidecar.gateway.record import Record
from sidecar.gateway.repeats import Written
from sidecar.gateway.translator import Translator
from sidecar.upstream import UpstreamResponse, held_time, read_failure

# So much of a stream is kept until its first output, when it could still be answered by another upstream. A model that thinks in
# secret sends an empty delta of 200 bytes for each token of 64,000; the event with the first output does not count.
_SILENT_BYTES_MAX = 16 * 1024 * 1024
# The smallest events take 2 us a byte to read and to pass on.
_STEP_BYTES = 8 * 1024


class StreamClock:
    """When the next byte must be here. Stands still while a client is slow to take a piece, which costs the provider nothing;
    only the deadline does not."""

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
        self._silent_since: float | None = None  # when the caller got the piece that says so
        self.output = False

    def limit(self) -> float:
        """For bytes after those that were read last, on the loop's clock."""
        return self._begins(self._now())

    def rings(self) -> float:
        """The same, or `stream_keepalive_s` from now if that is sooner and output has begun."""
        now = self._now()
        limit, keepalive = self._begins(now), now + self._keepalive_s
        return keepalive if keepalive < limit and self.output else limit

    def is_over(self) -> bool:
        """After nothing had come until it rang. False: there is more time, once the caller knows that it is silent."""
        self._silent_since = self._now()
        return self._silent_since >= self._limit or not self.output

    def _begins(self, now: float) -> float:
        if self._silent_since is None:
            limit = now + self._idle_s if self.output else self._first_until
        else:
            limit = self._limit + now - self._silent_since
            self._silent_since = None
        self._limit = limit = limit if limit < self._deadline else self._deadline
        return limit

    def has_passed(self) -> bool:
        """Whether the time was up before the bytes that were just read: who always has some never lets a timer ring. Time in
        which the loop was held does not count, as it does not for timers."""
        now = self._now()
        if now < self._first_until and now < self._deadline:
            return False
        now -= self._held.total_s(now) - self._held_s
        return now >= self._deadline or (not self.output and now >= self._first_until)

    def head_was_due(self, until_s: float) -> None:
        """The limit of the head, which may have moved on; that of the first output goes with it."""
        self._first_until = max(self._first_until, until_s)


class PieceReader:
    """Bytes from the provider -> events -> chunks -> pieces, held back until the first semantic output. Of a good answer."""

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
        written: Written | None,
    ) -> None:
        decoder = (prepared.side.observe if prepared.passes else None) or prepared.side.stream
        assert decoder is not None
        self._translator = Translator(prepared, call, decoder(prepared.plan.target, prepared.context), written)
        self._response = response
        self._record = record
        self._clock = clock
        self._bytes_max = route.response_bytes_max
        self._size = 0
        self.piece_bytes = 0  # that were read for the newest piece, as far as they had to be held
        self._failure: GatewayError | None = None  # raised after the piece that came before it
        self._ended = False

    async def next(self) -> Piece:
        """Falsy and not None at the end of the answer. Raises GatewayError."""
        if self._failure is not None:
            raise self._failure
        clock, translator = self._clock, self._translator
        while not (self._ended or translator.done):
            data = await self._read()
            if data is None:
                return None
            self._size += len(data)
            if self._size > self._bytes_max:
                raise _after_output(too_large(self._bytes_max), clock)
            if data and not clock.output and self._size > _SILENT_BYTES_MAX + translator.held_bytes:
                raise _nothing_in(_SILENT_BYTES_MAX)
            if data and clock.has_passed():
                raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not finish in time.")
            self.piece_bytes = held_bytes = translator.held_bytes
            try:
                await self._feed(data)
            except GatewayError as error:
                failure = _after_output(error, clock)
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
        if not clock.output:  # an answer without any output: its frame all the same
            clock.output = True
            self._record.first_output()
        return translator.take()

    async def _feed(self, data: bytes) -> None:
        """In small steps where it may be many events: others have their turn in between. Raises GatewayError."""
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
        """The next bytes, b"" at the end of the body, None where the provider is silent. Raises GatewayError."""
        clock = self._clock
        waiting = time.perf_counter()
        try:
            return await self._response.read_some(clock.rings())
        except Exception as error:  # noqa: BLE001  # it is raised again
            if isinstance(error, TimeoutError) and not clock.is_over():
                return None
            failure = _after_output(read_failure(error), clock)
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
            record.first_output()
        if self._clock.output:
            record.output_events, record.output_chars = translator.events, translator.chars


def _nothing_in(bytes_max: int) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider sent {bytes_max} bytes of a stream without any output.")


def _after_output(error: GatewayError, clock: StreamClock) -> GatewayError:
    """Once the caller has seen output, a broken answer is interrupted: nothing may be retried."""
    if not clock.output:
        return without_output(error)
    if error.kind in (Kind.UPSTREAM_UNAVAILABLE, Kind.UPSTREAM_PROTOCOL):
        return replace_error(error, kind=Kind.UPSTREAM_INTERRUPTED)
    return error

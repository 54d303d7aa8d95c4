"""A streamed answer passing through: bytes from the provider, events, chunks, pieces for the caller."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

from adapters import Decoder, GatewayError, Kind, has_output, latest_usage, replace_error
from sidecar.domain.call import Call, Piece
from sidecar.domain.snapshot import Route
from sidecar.gateway.attempt import PreparedCall, cause_of, too_large, without_output
from sidecar.gateway.record import Record
from sidecar.upstream import UpstreamResponse, read_failure
from sidecar.v1 import inference_pb2 as pb


class StreamClock:
    """When the next byte must be here. Stands still while a client is slow to take a piece, which costs the provider nothing;
    only the deadline does not."""

    __slots__ = ("_deadline", "_first_until", "_idle_s", "_keepalive_s", "_limit", "_loop", "_silent_since", "output")

    def __init__(self, route: Route, deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._first_until = self._loop.time() + route.timeouts.first_output_s
        self._idle_s = route.timeouts.idle_s
        self._keepalive_s = route.stream_keepalive_s or math.inf
        self._limit = 0.0
        self._silent_since: float | None = None  # when the caller got the piece that says so
        self.output = False

    def limit(self) -> float:
        """For bytes after those that were read last, on the loop's clock."""
        now = self._loop.time()
        if self._silent_since is None:
            self._limit = min(now + self._idle_s if self.output else self._first_until, self._deadline)
        else:
            self._limit = min(self._limit + now - self._silent_since, self._deadline)
            self._silent_since = None
        return self._limit

    async def read(self, response: UpstreamResponse) -> bytes | None:
        """The next bytes, b"" at the end, None after a silence of `stream_keepalive_s` once output has begun."""
        limit = self.limit()
        keepalive = self._loop.time() + self._keepalive_s
        early = self.output and keepalive < limit
        try:
            return await response.read_some(keepalive if early else limit)
        except TimeoutError:
            if early:
                self._silent_since = self._loop.time()
                return None
            raise


class PieceReader:
    """Bytes from the provider -> events -> chunks -> pieces, held back until the first semantic output. Of a good answer."""

    __slots__ = ("_bytes_max", "_clock", "_ended", "_failure", "_record", "_response", "_size", "_translator")

    def __init__(
        self,
        response: UpstreamResponse,
        route: Route,
        prepared: PreparedCall,
        call: Call,
        record: Record,
        clock: StreamClock,
    ) -> None:
        decoder = (prepared.side.observe if prepared.passes else None) or prepared.side.stream
        assert decoder is not None
        self._translator = _Translator(prepared, call, decoder(prepared.plan.target, prepared.context))
        self._response = response
        self._record = record
        self._clock = clock
        self._bytes_max = route.response_bytes_max
        self._size = 0
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
            try:
                translator.feed(data)
            except GatewayError as error:
                failure = _after_output(error, clock)
                if clock.output and (piece := translator.take()):
                    self._failure = failure
                    return piece
                raise failure from cause_of(failure, error)
            self._count()
            if not data:
                self._ended = True
            elif clock.output and (piece := translator.take()):
                return piece
        if not clock.output:  # an answer without any output: its frame all the same
            clock.output = True
            self._record.first_output()
        return translator.take()

    async def _read(self) -> bytes | None:
        """The next bytes, b"" at the end of the body, None where the provider is silent. Raises GatewayError."""
        clock, record = self._clock, self._record
        waiting = time.perf_counter()
        try:
            return await clock.read(self._response)
        except Exception as error:  # noqa: BLE001  # it is raised again
            failure = _after_output(read_failure(error), clock)
            raise failure from cause_of(failure, error)
        finally:
            record.waited_s += time.perf_counter() - waiting

    def _count(self) -> None:
        translator, record = self._translator, self._record
        record.usage = translator.usage or record.usage
        if translator.output and not self._clock.output:
            self._clock.output = True
            record.first_output()
        if self._clock.output:
            record.output_events, record.output_chars = translator.events, translator.chars


def _after_output(error: GatewayError, clock: StreamClock) -> GatewayError:
    """Once the caller has seen output, a broken answer is interrupted: nothing may be retried."""
    if not clock.output:
        return without_output(error)
    if error.kind in (Kind.UPSTREAM_UNAVAILABLE, Kind.UPSTREAM_PROTOCOL):
        return replace_error(error, kind=Kind.UPSTREAM_INTERRUPTED)
    return error


class _Translator:
    """A stream's bytes to what this caller gets: the provider's own events, or canonical chunks."""

    def __init__(self, prepared: PreparedCall, call: Call, decoder: Decoder) -> None:
        self._parser = prepared.side.framing()
        self._decoder = decoder
        self._passes = prepared.passes
        self._wants_usage = call.envelope is not None and call.envelope.include_usage
        self._raw: list[bytes] = []
        self._chunks: list[Any] = []
        self.output = False
        self.usage: Any = None
        self.events = 0  # with output; counted for calls that break off
        self.chars = 0

    @property
    def done(self) -> bool:
        return self._decoder.done

    def feed(self, data: bytes) -> None:
        """b"" is the end of the body. Raises GatewayError; what came before it in `data` can still be taken."""
        for event in self._parser.feed(data) if data else self._parser.close():
            chunks = self._decoder.feed(event)
            self._keep(chunks, b"" if self._decoder.done and not chunks else event.raw)
            if self._decoder.done:
                return
        if not data:
            self._keep(self._decoder.close(), b"")

    def _keep(self, chunks: list[Any], raw: bytes) -> None:
        only_usage = False
        for chunk in chunks:
            if chunk.HasField("usage"):
                self.usage = latest_usage(self.usage, chunk.usage)
                only_usage = not chunk.choices
            if not self.output and has_output(chunk):
                self.output = True
            if not self._passes:
                self.chars += _output_chars(chunk)
        self.events += bool(chunks) or bool(raw)
        if not self._passes:
            self._chunks.extend(chunks)
        elif raw and not (only_usage and not self._wants_usage):
            self._raw.append(raw)

    def take(self) -> Piece:
        """What has come since the last time; falsy if nothing."""
        if self._passes:
            raw, self._raw = self._raw, []
            return b"".join(raw)
        chunks, self._chunks = self._chunks, []
        return chunks


def _output_chars(chunk: Any) -> int:
    """Of text, thinking and arguments."""
    count = 0
    for choice in chunk.choices:
        if isinstance(choice, pb.CompletionChoice):
            count += len(choice.text)
            continue
        delta = choice.delta
        count += len(delta.content) + len(delta.refusal)
        if delta.tool_calls:
            count += sum(len(each.arguments_json) + len(each.custom_input) for each in delta.tool_calls)
        if delta.HasField("thinking"):
            count += len(delta.thinking.text)
    return count

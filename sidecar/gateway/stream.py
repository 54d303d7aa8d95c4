"""A streamed answer on its way through: bytes from the provider, events, chunks, pieces for the caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

from adapters import Decoder, GatewayError, Kind, has_output, latest_usage
from sidecar.domain.call import Call, Piece
from sidecar.domain.snapshot import Route
from sidecar.gateway.attempt import Attempt, too_large, without_output
from sidecar.gateway.record import Record
from sidecar.upstream.http import UpstreamResponse, read_failure
from sidecar.v1 import inference_pb2 as pb

# SSE comments keep load balancers from cutting a silent stream; the shortest common idle limit is 30 s.
KEEPALIVE_S = 15.0


class StreamClock:
    """When the next byte must be here. Stands still while a client is slow to take a piece, which costs the provider nothing;
    only the deadline does not."""

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

    def now(self) -> float:
        return self._loop.time()

    def later(self, limit: float, since: float) -> float:
        """A limit that stood still since then."""
        return min(limit + self._loop.time() - since, self._deadline)

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


async def pieces(
    response: UpstreamResponse, route: Route, attempt: Attempt, call: Call, record: Record, clock: StreamClock
) -> AsyncGenerator[Piece, None]:
    """Bytes from the provider -> events -> chunks, held back until the first semantic output."""
    decoder = (attempt.side.observe if attempt.passthrough else None) or attempt.side.stream
    assert decoder is not None
    translator = _Translator(attempt, call, decoder(attempt.plan.target, attempt.context))
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
            suspended = clock.now()
            yield None
            limit = clock.later(limit, suspended)
            continue
        size += len(data)
        if size > route.response_bytes_max:
            raise _after_output(too_large(route.response_bytes_max), clock)
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
        if clock.output:
            record.output_events, record.output_chars = translator.events, translator.chars
            if piece := translator.take():
                yield piece
        limit = clock.limit()
        if not data:
            break
    if not clock.output:  # an answer without any output: its frame all the same
        record.first_output()
    if piece := translator.take():
        yield piece


def _after_output(error: GatewayError, clock: StreamClock) -> GatewayError:
    """Once the caller has seen output, a broken answer is interrupted: nothing may be retried."""
    if not clock.output:
        return without_output(error)
    if error.kind in (Kind.UPSTREAM_UNAVAILABLE, Kind.UPSTREAM_PROTOCOL):
        error.kind = Kind.UPSTREAM_INTERRUPTED
    return error


class _Translator:
    """A stream's bytes to what this caller gets: the provider's own events, or canonical chunks."""

    def __init__(self, attempt: Attempt, call: Call, decoder: Decoder) -> None:
        self._parser = attempt.side.framing()
        self._decoder = decoder
        self._passthrough = attempt.passthrough
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
            if not self._passthrough:
                self.chars += _output_chars(chunk)
        self.events += bool(chunks) or bool(raw)
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

"""One call: find the route, admit it, choose an upstream, translate, send, retry where that may help, record. Knows neither
gRPC nor REST.

    answer = await gateway.unary(call)

    async with gateway.stream(call) as answer:
        async for piece in answer: ...

A caller's body in the upstream's own format is patched, not translated (decision 0006); everything else goes through the
canonical message. Both share everything else. What is retried and what is not: docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Any, Final, Self

from adapters import GatewayError, Kind, replace_error
from sidecar.domain.call import Answer, Call, Count, Headers
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Consumer, Snapshot
from sidecar.gateway.admission import Admissions, Gate
from sidecar.gateway.attempt import CallReader, Sender, prepare, whole_answer
from sidecar.gateway.candidates import Candidates, UpstreamRegistry
from sidecar.gateway.consumers import Consumers, find_route
from sidecar.gateway.estimate import estimate_tokens, size_of
from sidecar.gateway.meter import Meter, Ticket
from sidecar.gateway.record import OK, Record
from sidecar.gateway.repeats import Written
from sidecar.gateway.retries import AttemptScope, RetryLoop
from sidecar.gateway.stream import OnSilence, StreamedAnswer
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics
from sidecar.upstream import UpstreamClient

# Where a provider cannot count, or not now, an estimate is better than nothing.
_ESTIMATED = frozenset(
    {
        Kind.UPSTREAM_NOT_FOUND,
        Kind.UPSTREAM_UNAVAILABLE,
        Kind.UPSTREAM_TIMEOUT,
        Kind.UPSTREAM_PROTOCOL,
        Kind.UPSTREAM_REJECTED_CREDENTIALS,
    }
)
# Servers that resemble Anthropic's and count nothing, whatever their error's body says.
_NO_SUCH_PATH = frozenset({404, 405, 501})


class Gateway:
    """Serves calls by a snapshot; `snapshot` is replaced by one assignment, calls under way keep theirs.

    `chance` decides on weights, ties and jitter. Without a `meter` nothing is limited, without a `log`
    nothing is written.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        client: UpstreamClient,
        metrics: Metrics,
        chance: random.Random | None = None,
        meter: Meter | None = None,
        log: AccessLog | None = None,
    ) -> None:
        self._state: tuple[Snapshot, dict[str, Candidates], Consumers] = (snapshot, {}, Consumers(snapshot))
        self._metrics = metrics
        self._log = log
        self.chance: Final = chance or random.Random()
        self.meter: Final = meter or Meter(metrics)
        self.sender: Final = Sender(client)
        self.upstreams: Final = UpstreamRegistry(metrics)
        self.admissions: Final = Admissions(snapshot)
        self.cut = False

    @property
    def snapshot(self) -> Snapshot:
        return self._state[0]

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        self._state = (snapshot, {}, Consumers(snapshot))
        self.upstreams.reload(snapshot)
        self.admissions.reload(snapshot)

    @property
    def consumers(self) -> Consumers:
        """By the newest snapshot."""
        return self._state[2]

    def record(self, operation: str, route: str, consumer: Consumer, request_id: str) -> Record:
        """What a call is counted and logged as. `close` it."""
        return Record(self._metrics, operation, route, consumer.name, request_id=request_id, log=self._log)

    async def unary(self, call: Call) -> Answer:
        """Answers a call whole. Raises GatewayError, its message fit to be shown."""
        with CallScope(self, call) as scope:
            loop = await scope.open()
            reader, route, record = CallReader(call), loop.candidates.route, scope.record

            async def serve(attempt: AttemptScope) -> tuple[bytes | None, Any, int]:
                plan, size = attempt.candidate.plan, call.size_bytes
                prepared = prepare(plan, reader) if size <= LARGE_BYTES else await off_loop(size, prepare, plan, reader)
                attempt.sends(prepared)
                answer = await whole_answer(
                    self.sender, prepared, call, route, record, head_by=attempt.head_by, deadline=loop.deadline
                )
                attempt.succeeded()
                return answer

            body, message, size = await loop.run(serve)
        upstream, write_s = loop.candidate.name, route.timeouts.write_s
        return Answer(upstream, body, message, record.usage, record.left_out, scope.headers, write_s, size)

    async def count_tokens(self, call: Call) -> Count:
        """How many tokens the call's body has: the provider's count, else an estimate. Raises GatewayError."""
        with CallScope(self, call) as scope:
            loop = await scope.open()
            reader, route, record = CallReader(call), loop.candidates.route, scope.record

            async def serve(attempt: AttemptScope) -> tuple[bytes | None, int]:
                prepared = await off_loop(call.size_bytes, prepare, attempt.candidate.plan, reader)
                attempt.sends(prepared)
                body, _, _ = await whole_answer(
                    self.sender, prepared, call, route, record, head_by=attempt.head_by, deadline=loop.deadline
                )
                attempt.succeeded()
                same = call.client_format in attempt.candidate.plan.passing
                return body if same else None, prepared.side.decode(body or b"", prepared.context)

            body, tokens = None, None
            try:
                body, tokens = await loop.run(serve)
            except GatewayError as error:
                if error.kind not in _ESTIMATED and error.status not in _NO_SUCH_PATH:
                    raise
        answer = Answer(loop.candidate.name, body, None, None, (), scope.headers, route.timeouts.write_s)
        if tokens is not None:
            return Count(answer, tokens, estimated=False)
        estimate = await off_loop(call.size_bytes, size_of, call)
        return Count(answer, estimate.prompt, estimated=True)

    def stream(self, call: Call, on_silence: OnSilence | None = None, written: Written | None = None) -> StreamedAnswer:
        """Answers a call as it is produced: see there. `written` makes bytes of a chunk, for pieces of bytes."""
        return StreamedAnswer(call, CallScope(self, call), self.sender, on_silence, written)

    async def candidates_for(self, call: Call, record: Record) -> Candidates:
        """The upstreams of the call's route, by the newest snapshot. Raises what `find_route` and the search for secrets do."""
        _, known, consumers = self._state
        route = find_route(consumers, call, record)
        await consumers.prompts.check(call)
        candidates = known.get(call.route)
        if candidates is None or candidates.route is not route:
            if len(known) >= consumers.names.at_a_time:  # wildcards have answered many
                known.clear()
            candidates = known[call.route] = self.upstreams.candidates_of(route)
        return candidates

    def cut_calls(self) -> None:
        """The calls that are cancelled from now on have not lost their callers: they end as drained."""
        self.cut = True

    async def close(self) -> None:
        """Ends what calls have left running."""
        await self.sender.tokens.close()


class CallScope:
    """One call, whole or streamed, from its arrival to its settlement. `open` finds its route, admits it and gives it a place;
    leaving the scope gives the place back, records and settles the call, whatever happened."""

    __slots__ = ("_call", "_candidates", "_gate", "_gateway", "_placed", "_ticket", "record")

    def __init__(self, gateway: Gateway, call: Call) -> None:
        self._gateway = gateway
        self._call = call
        self._ticket: Ticket | None = None
        self._gate: Gate | None = None
        self._placed = False
        self.record = gateway.record(call.operation, call.route, call.consumer, call.request_id)

    async def open(self) -> RetryLoop:
        """The attempts of the admitted call. Raises GatewayError."""
        gateway, call = self._gateway, self._call
        self._candidates = candidates = await gateway.candidates_for(call, self.record)
        large = call.size_bytes > LARGE_BYTES
        estimate = await off_loop(call.size_bytes, estimate_tokens, call) if large else None
        admitted = gateway.meter.admit(call, candidates.route, estimate)
        self._ticket = admitted if isinstance(admitted, Ticket) else await admitted
        self._gate = await gateway.admissions.enter(candidates.route)
        self._placed = True
        return RetryLoop(call, candidates, self.record, gateway.upstreams, gateway.sender.tokens, gateway.chance)

    @property
    def headers(self) -> Headers:
        """x-ratelimit-* and x-sidecar-budget, as limits and budgets are now."""
        return () if self._ticket is None else self._ticket.headers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        elif (failure := self.failed(error)) is not error:
            raise failure from error.__cause__

    def failed(self, error: BaseException) -> BaseException:
        """`end` for a call that failed. What is to be raised: a GatewayError with the headers that go with the refusal."""
        if self._gateway.cut and isinstance(error, asyncio.CancelledError):
            error = _drained(error)
        self.record.failed(error, deadline=self._call.deadline)
        self.end()
        left_out = self.record.left_out
        if isinstance(error, GatewayError) and ((headers := self.headers) or left_out):
            return replace_error(error, headers=headers or error.headers, left_out=left_out)
        return error

    def end(self) -> None:
        """Once."""
        if self._placed:
            self._gateway.admissions.leave(self._gate)
        self.record.close()
        if self._ticket is not None:
            self._settle(self._ticket)

    def _settle(self, ticket: Ticket) -> None:
        """At the price of the upstream that was called last."""
        record = self.record
        upstream = next((each.plan.upstream for each in self._candidates.all if each.name == record.upstream), None)
        output_tokens = record.output_tokens_estimated
        ticket.settle(
            ok=record.outcome == OK,
            usage=record.usage,
            output_tokens=output_tokens,
            upstream=upstream,
            service_tier=record.service_tier,
        )


def _drained(error: asyncio.CancelledError) -> GatewayError:
    """In place of the cancellation, so that the caller is told."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    drained = GatewayError(Kind.DRAINED, "The gateway is stopping, and this call took too long to wait for.")
    drained.__cause__ = error
    return drained

"""Serves one call: find the route, admit the call, choose an upstream, translate, send, retry where that may
help, record.

Independent of gRPC and REST.

    answer = await gateway.unary(call)

    async with gateway.stream(call) as answer:
        async for piece in answer: ...

A body in the upstream's own format is patched rather than translated (decision 0006); anything else goes through the
canonical message. docs/concepts/reliability.md describes what is retried.
"""

from __future__ import annotations

import asyncio
import random
from types import TracebackType
from typing import Final, NamedTuple, Self

from adapters import GatewayError, Kind, replace_error
from sidecar.domain.call import Answer, Call, Count
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Consumer, Snapshot
from sidecar.gateway.admission import Admissions, Gate
from sidecar.gateway.attempt import CallReader, Sender, prepare, whole_answer
from sidecar.gateway.candidates import Candidates, UpstreamRegistry
from sidecar.gateway.consumers import Consumers, find_route, wrong_task
from sidecar.gateway.estimate import estimate_tokens, size_of
from sidecar.gateway.meter import CallNeeds, Meter
from sidecar.gateway.prompt_secrets import PromptSecrets
from sidecar.gateway.record import Record
from sidecar.gateway.repeats import ChunkEncoder
from sidecar.gateway.retries import AttemptScope, RetryLoop
from sidecar.gateway.stream import OnSilence, StreamedAnswer
from sidecar.store.contract import Rules
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics
from sidecar.upstream import UpstreamClient

# If the provider cannot count, or cannot right now, an estimate is better than an error.
_ESTIMATED = frozenset(
    {
        Kind.UPSTREAM_NOT_FOUND,
        Kind.UPSTREAM_UNAVAILABLE,
        Kind.UPSTREAM_TIMEOUT,
        Kind.UPSTREAM_PROTOCOL,
        Kind.UPSTREAM_REJECTED_CREDENTIALS,
    }
)
# Anthropic-compatible servers without the counting endpoint answer with one of these, whatever the error body says.
_NO_SUCH_PATH = frozenset({404, 405, 501})


# Pairs of consumer and route name; far more than are active at once.
_TERMS_MAX = 20_000


class Terms(NamedTuple):
    """Everything about a call that depends only on its consumer and route name. Resolved once per pair and snapshot."""

    consumer: Consumer
    candidates: Candidates
    rules: Rules
    prompts: PromptSecrets


class _State(NamedTuple):
    """All state that is derived from one snapshot."""

    snapshot: Snapshot
    consumers: Consumers
    candidates: dict[str, Candidates]  # keyed by the name that the caller used
    terms: dict[tuple[str, str], Terms]  # keyed by consumer name and route name


class Gateway:
    """Serves calls according to a snapshot.

    Assign `snapshot` to reload; running calls keep the snapshot they started with. `rng` decides weights, ties and
    jitter. Without a `meter` there are no limits, without a `log` no access log.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        client: UpstreamClient,
        metrics: Metrics,
        rng: random.Random | None = None,
        meter: Meter | None = None,
        log: AccessLog | None = None,
    ) -> None:
        self._state = _State(snapshot, Consumers(snapshot), {}, {})
        self._metrics = metrics
        self._log = log
        self.rng: Final = rng or random.Random()
        self.meter: Final = meter or Meter(metrics)
        self.sender: Final = Sender(client)
        self.upstreams: Final = UpstreamRegistry(metrics)
        self.admissions: Final = Admissions(snapshot)
        self.cut = False

    @property
    def snapshot(self) -> Snapshot:
        return self._state.snapshot

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        self._state = _State(snapshot, Consumers(snapshot), {}, {})
        self.upstreams.reload(snapshot)
        self.admissions.reload(snapshot)

    @property
    def consumers(self) -> Consumers:
        """The consumers of the current snapshot."""
        return self._state.consumers

    def record(self, operation: str, route: str, consumer: Consumer, request_id: str) -> Record:
        """Starts the record of a call, for metrics and the access log. The caller closes it."""
        return Record(self._metrics, operation, route, consumer.name, request_id, self._log)

    async def unary(self, call: Call) -> Answer:
        """Returns the complete answer. Raises GatewayError with a message that is safe to show to the caller."""
        with CallScope(self, call) as scope:
            loop = await scope.open()
            reader, route, record, size = CallReader(call), loop.candidates.route, scope.record, call.size_bytes
            while True:
                attempt = loop.begin()
                try:
                    plan = attempt.candidate.plan
                    prepared = (
                        prepare(plan, reader) if size <= LARGE_BYTES else await off_loop(size, prepare, plan, reader)
                    )
                    attempt.mark_sent(prepared)
                    body, message, answer_bytes = await whole_answer(
                        self.sender, prepared, call, route, record, head_by=attempt.head_by, deadline=loop.deadline
                    )
                    attempt.succeeded()
                    break
                except BaseException as error:  # noqa: BLE001  # re-raised by failed() unless another attempt follows
                    await loop.failed(attempt, error)
        upstream, write_s = loop.candidate.name, route.timeouts.write_s
        return Answer(upstream, body, message, record.usage, record.left_out, record.headers, write_s, answer_bytes)

    async def count_tokens(self, call: Call) -> Count:
        """Counts the tokens of the call's body: as reported by the provider, or else by estimate. Raises
        GatewayError."""
        with CallScope(self, call) as scope:
            loop = await scope.open()
            reader, route, record = CallReader(call), loop.candidates.route, scope.record

            async def serve(attempt: AttemptScope) -> tuple[bytes | None, int]:
                prepared = await off_loop(call.size_bytes, prepare, attempt.candidate.plan, reader)
                attempt.mark_sent(prepared)
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
        answer = Answer(loop.candidate.name, body, None, None, (), record.headers, route.timeouts.write_s)
        if tokens is not None:
            return Count(answer, tokens, estimated=False)
        estimate = await off_loop(call.size_bytes, size_of, call)
        return Count(answer, estimate.prompt, estimated=True)

    def stream(
        self, call: Call, on_silence: OnSilence | None = None, encode_chunk: ChunkEncoder | None = None
    ) -> StreamedAnswer:
        """Returns the answer as an async context manager and iterator.

        Without `encode_chunk` the pieces of a translated answer are lists of chunks; with it they are the bytes that
        it makes of each chunk.
        """
        return StreamedAnswer(call, CallScope(self, call), self.sender, on_silence, encode_chunk)

    def terms_for(self, call: Call, record: Record) -> Terms:
        """Resolves a call by the current snapshot. Raises route_not_found, or invalid_request if the route has
        another task."""
        key = (call.consumer.name, call.route)
        terms = self._state.terms.get(key)
        # a call that started before a reload carries the older consumer
        if terms is None or terms.consumer is not call.consumer:
            terms = self._new_terms(key, call)
        route = terms.candidates.route
        record.set_route(route.name)
        if route.task is not call.task:
            raise wrong_task(route, call)
        return terms

    def _new_terms(self, key: tuple[str, str], call: Call) -> Terms:
        state = self._state
        route = find_route(state.consumers, call)
        candidates = state.candidates.get(call.route)
        if candidates is None or candidates.route is not route:
            if len(state.candidates) >= state.consumers.names.cache_size:  # wildcards have answered many names
                state.candidates.clear()
                state.terms.clear()
            candidates = state.candidates[call.route] = self.upstreams.candidates_of(route)
        if len(state.terms) >= _TERMS_MAX:
            state.terms.clear()
        terms = state.terms[key] = Terms(
            call.consumer, candidates, Rules(route, call.consumer), state.consumers.prompts
        )
        return terms

    def cut_calls(self) -> None:
        """Marks the gateway as stopping: calls cancelled from now on end as drained, not as abandoned by their
        callers."""
        self.cut = True

    async def close(self) -> None:
        """Stops the background work that calls have left running."""
        await self.sender.tokens.close()


class CallScope:
    """One call from arrival to settlement.

    `open` finds the route, admits the call and takes a slot. Leaving the scope returns the slot, records the call
    and settles its reservation, whatever happened.
    """

    __slots__ = ("_call", "_gate", "_gateway", "_placed", "record")

    def __init__(self, gateway: Gateway, call: Call) -> None:
        self._gateway = gateway
        self._call = call
        self._gate: Gate | None = None
        self._placed = False
        self.record = gateway.record(call.operation, call.route, call.consumer, call.request_id)

    async def open(self) -> RetryLoop:
        """Admits the call and returns the loop over its attempts. Raises GatewayError."""
        gateway, call, record = self._gateway, self._call, self.record
        _, candidates, rules, prompts = gateway.terms_for(call, record)
        if not prompts.is_plain(call):
            await prompts.check(call)
        large = call.size_bytes > LARGE_BYTES
        estimate = await off_loop(call.size_bytes, estimate_tokens, call) if large else None
        if rules.buckets or rules.allowances:
            later = record.admit(gateway.meter, call, rules, CallNeeds(call, candidates.route, estimate))
            if later is not None:  # the store is on another machine
                await later
        else:
            record.admit_unlimited(gateway.meter, call, rules, estimate)
        if not gateway.admissions.try_enter(candidates.route):
            self._gate = await gateway.admissions.enter(candidates.route)
        self._placed = True
        sender = gateway.sender
        return RetryLoop(call, candidates, record, gateway.upstreams, sender.tokens, gateway.rng, sender.now_s)

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
        """Ends a failed call. Returns the error to raise: a GatewayError gains the headers of limits and budgets."""
        if self._gateway.cut and isinstance(error, asyncio.CancelledError):
            error = _drained(error)
        self.record.failed(error, deadline=self._call.deadline)
        self.end()
        left_out = self.record.left_out
        if isinstance(error, GatewayError) and ((headers := self.record.headers) or left_out):
            return replace_error(error, headers=headers or error.headers, left_out=left_out)
        return error

    def end(self) -> None:
        """Ends the call. Call it exactly once."""
        if self._placed:
            self._gateway.admissions.leave(self._gate)
        self.record.close()


def _drained(error: asyncio.CancelledError) -> GatewayError:
    """Turns a cancellation during shutdown into an error that the caller receives."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    drained = GatewayError(
        Kind.DRAINED, "The gateway is stopping, and this call did not finish in time. Send it again."
    )
    drained.__cause__ = error
    return drained

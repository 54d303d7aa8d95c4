"""One call: find the route, admit it, choose an upstream, translate, send, retry where that may help, record. Knows neither
gRPC nor REST.

    answer = await gateway.unary(call)

    async with gateway.stream(call) as answer:
        async for piece in answer: ...

A caller's body in the upstream's own format is patched, not translated (decision 0006); everything else goes through the
canonical message. Both share everything else. What is retried and what is not: docs/concepts/reliability.md.
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
from sidecar.gateway.repeats import Written
from sidecar.gateway.retries import AttemptScope, RetryLoop
from sidecar.gateway.stream import OnSilence, StreamedAnswer
from sidecar.store.contract import Rules
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


# Pairs of consumer and name; many more than call at one time.
_TERMS_MAX = 20_000


class Terms(NamedTuple):
    """On what terms a consumer calls a name: worked out with its first call after a reload."""

    consumer: Consumer
    candidates: Candidates
    rules: Rules
    prompts: PromptSecrets


class _State(NamedTuple):
    """What goes with one snapshot."""

    snapshot: Snapshot
    consumers: Consumers
    candidates: dict[str, Candidates]  # by the name that is called
    terms: dict[tuple[str, str], Terms]  # by the consumer's name, too


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
        self._state = _State(snapshot, Consumers(snapshot), {}, {})
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
        return self._state.snapshot

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        self._state = _State(snapshot, Consumers(snapshot), {}, {})
        self.upstreams.reload(snapshot)
        self.admissions.reload(snapshot)

    @property
    def consumers(self) -> Consumers:
        """By the newest snapshot."""
        return self._state.consumers

    def record(self, operation: str, route: str, consumer: Consumer, request_id: str) -> Record:
        """What a call is counted and logged as. `close` it."""
        return Record(self._metrics, operation, route, consumer.name, request_id, self._log)

    async def unary(self, call: Call) -> Answer:
        """Answers a call whole. Raises GatewayError, its message fit to be shown."""
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
                    attempt.sends(prepared)
                    body, message, answer_bytes = await whole_answer(
                        self.sender, prepared, call, route, record, head_by=attempt.head_by, deadline=loop.deadline
                    )
                    attempt.succeeded()
                    break
                except BaseException as error:  # noqa: BLE001  # it is raised again
                    await loop.failed(attempt, error)
        upstream, write_s = loop.candidate.name, route.timeouts.write_s
        return Answer(upstream, body, message, record.usage, record.left_out, record.headers, write_s, answer_bytes)

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
        answer = Answer(loop.candidate.name, body, None, None, (), record.headers, route.timeouts.write_s)
        if tokens is not None:
            return Count(answer, tokens, estimated=False)
        estimate = await off_loop(call.size_bytes, size_of, call)
        return Count(answer, estimate.prompt, estimated=True)

    def stream(self, call: Call, on_silence: OnSilence | None = None, written: Written | None = None) -> StreamedAnswer:
        """Answers a call as it is produced: see there. `written` makes bytes of a chunk, for pieces of bytes."""
        return StreamedAnswer(call, CallScope(self, call), self.sender, on_silence, written)

    def terms_for(self, call: Call, record: Record) -> Terms:
        """The terms of the call, by the newest snapshot. Raises route_not_found, or invalid_request where its task is another."""
        key = (call.consumer.name, call.route)
        terms = self._state.terms.get(key)
        if terms is None or terms.consumer is not call.consumer:  # that of a call from before a reload is an older one
            terms = self._new_terms(key, call)
        route = terms.candidates.route
        record.route_known(route.name)
        if route.task is not call.task:
            raise wrong_task(route, call)
        return terms

    def _new_terms(self, key: tuple[str, str], call: Call) -> Terms:
        state = self._state
        route = find_route(state.consumers, call)
        candidates = state.candidates.get(call.route)
        if candidates is None or candidates.route is not route:
            if len(state.candidates) >= state.consumers.names.at_a_time:  # wildcards have answered many
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
        """The calls that are cancelled from now on have not lost their callers: they end as drained."""
        self.cut = True

    async def close(self) -> None:
        """Ends what calls have left running."""
        await self.sender.tokens.close()


class CallScope:
    """One call, whole or streamed, from its arrival to its settlement. `open` finds its route, admits it and gives it a place;
    leaving the scope gives the place back, records and settles the call, whatever happened."""

    __slots__ = ("_call", "_gate", "_gateway", "_placed", "record")

    def __init__(self, gateway: Gateway, call: Call) -> None:
        self._gateway = gateway
        self._call = call
        self._gate: Gate | None = None
        self._placed = False
        self.record = gateway.record(call.operation, call.route, call.consumer, call.request_id)

    async def open(self) -> RetryLoop:
        """The attempts of the admitted call. Raises GatewayError."""
        gateway, call, record = self._gateway, self._call, self.record
        _, candidates, rules, prompts = gateway.terms_for(call, record)
        if not prompts.is_plain(call):
            await prompts.check(call)
        large = call.size_bytes > LARGE_BYTES
        estimate = await off_loop(call.size_bytes, estimate_tokens, call) if large else None
        if rules.buckets or rules.allowances:
            later = record.admit(gateway.meter, call, rules, CallNeeds(call, candidates.route, estimate))
            if later is not None:  # another machine is asked
                await later
        else:
            record.admit_freely(gateway.meter, call, rules, estimate)
        if not gateway.admissions.try_enter(candidates.route):
            self._gate = await gateway.admissions.enter(candidates.route)
        self._placed = True
        sender = gateway.sender
        return RetryLoop(call, candidates, record, gateway.upstreams, sender.tokens, gateway.chance, sender.now_s)

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
        if isinstance(error, GatewayError) and ((headers := self.record.headers) or left_out):
            return replace_error(error, headers=headers or error.headers, left_out=left_out)
        return error

    def end(self) -> None:
        """Once."""
        if self._placed:
            self._gateway.admissions.leave(self._gate)
        self.record.close()


def _drained(error: asyncio.CancelledError) -> GatewayError:
    """In place of the cancellation, so that the caller is told."""
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    drained = GatewayError(Kind.DRAINED, "The gateway is stopping, and this call took too long to wait for.")
    drained.__cause__ = error
    return drained

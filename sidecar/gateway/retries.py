"""The attempts of one call: which upstream comes next, whether another attempt may follow a failure, and
when.

    loop = RetryLoop(...)
    while True:
        attempt = loop.begin()
        try:
            ...
            attempt.succeeded()
            break
        except BaseException as error:
            await loop.failed(attempt, error)  # raises unless another attempt follows

The call's deadline bounds all waiting.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from adapters import GatewayError, Kind, replace_error
from sidecar.domain.call import Call
from sidecar.domain.status import STATUS_ROWS, TRANSIENT
from sidecar.gateway.attempt import PreparedCall
from sidecar.gateway.candidates import Candidate, Candidates, UpstreamRegistry
from sidecar.gateway.outcome import DEADLINE_SLACK_S, OK, outcome_of
from sidecar.gateway.read_answer import safe_to_show
from sidecar.gateway.record import Record
from sidecar.upstream.credentials import AccessTokens

# No model answers in less time, so a shorter attempt would be wasted.
_ATTEMPT_S_MIN = 0.25
# Length of a chain of causes. Real ones have four.
_CAUSES_MAX = 64

_Served = TypeVar("_Served")


class AttemptScope:
    """One attempt from choice to end: counts it, informs the circuit and makes its error safe to show.

    Exactly one of `succeeded` and `failed` ends it.
    """

    __slots__ = ("_began_s", "_loop", "_probe", "_url", "candidate", "head_by", "sent")

    def __init__(self, loop: RetryLoop) -> None:
        self._loop = loop
        self.candidate = candidate = loop.candidate
        self._began_s = now_s = loop.now_s()
        self.head_by = loop.deadline if loop.candidates.only is not None else loop.head_by(now_s)
        self.sent = False
        health = candidate.health
        health.in_flight += 1
        self._probe = health.circuit.begins(now_s)

    def mark_sent(self, prepared: PreparedCall) -> None:
        """Marks the request as sent: from now on the provider may know of the call."""
        self.sent = True
        self._url = prepared.http.url
        candidate = self.candidate
        self._loop.record.attempt_begins(candidate.name, candidate.plan.upstream, prepared.http.left_out)

    def mark_output(self) -> None:
        """Marks the start of the output."""
        if self._probe:
            self.candidate.health.circuit.answered(probe=True)
            self.candidate.health.update_series()

    def succeeded(self) -> None:
        loop, health = self._loop, self.candidate.health
        health.in_flight -= 1
        loop.record.attempt_ends(self.candidate.plan.upstream.provider, OK)
        health.circuit.succeeded(loop.now_s(), probe=self._probe)
        if self._probe:
            health.update_series()

    def failed(self, error: BaseException) -> BaseException:
        """Ends the attempt. Returns the error as the caller may see it."""
        loop, candidate = self._loop, self.candidate
        candidate.health.in_flight -= 1
        if self.sent:
            loop.record.attempt_ends(candidate.plan.upstream.provider, outcome_of(error, loop.call.deadline))
        if isinstance(error, GatewayError):
            raised = error
            error = safe_to_show(error, candidate.plan.upstream, loop.tokens)
            now_s = loop.now_s()
            in_a_hurry = self._caller_deadline_passed(error, now_s)
            if self.sent:
                self._log(error, now_s, " The caller's own deadline had passed." if in_a_hurry else "")
            release_frames(raised)
            if self.sent and not in_a_hurry and not _is_local_failure(error):
                loop.registry.failed(loop.candidates, candidate, now_s, error, probe=self._probe)
                return error
        candidate.health.circuit.abandoned(probe=self._probe)
        return error

    def _log(self, error: GatewayError, now_s: float, note: str) -> None:
        self._loop.registry.failures.add(
            error,
            route=self._loop.candidates.route.name,
            upstream=self.candidate.name,
            url=self._url,
            request_id=self._loop.call.request_id,
            after_s=now_s - self._began_s,
            note=note,
        )

    def _caller_deadline_passed(self, error: GatewayError, now_s: float) -> bool:
        """An attempt that ran out of the caller's time says nothing about the provider's health."""
        deadline = self._loop.call.deadline
        return error.kind is Kind.UPSTREAM_TIMEOUT and deadline is not None and now_s >= deadline - DEADLINE_SLACK_S


def release_frames(error: BaseException) -> None:
    """Drops the tracebacks of an error and its causes. Their frames hold the answer read so far, up to 64 MiB, and
    the error itself; that cycle would keep it in memory until the next garbage collection, many calls later."""
    left: list[BaseException | None] = [error]
    for _ in range(_CAUSES_MAX):
        if not left:
            return
        if (each := left.pop()) is not None:
            each.__traceback__ = None
            left += [each.__cause__, each.__context__]


def _is_local_failure(error: GatewayError) -> bool:
    """Whether this process ran out of a resource, which says nothing about the provider's health."""
    return error.kind is Kind.OVERLOADED and error.status is None


class RetryLoop:
    """Chooses the upstream of each attempt of one call. `now_s` is the event loop's clock, and `deadline` a time on
    it."""

    __slots__ = (
        "_failure",
        "_retries_left",
        "_rng",
        "_tried",
        "call",
        "candidate",
        "candidates",
        "deadline",
        "now_s",
        "record",
        "registry",
        "tokens",
    )

    def __init__(
        self,
        call: Call,
        candidates: Candidates,
        record: Record,
        registry: UpstreamRegistry,
        tokens: AccessTokens,
        rng: random.Random,
        now_s: Callable[[], float],
    ) -> None:
        self.call = call
        self.candidates = candidates
        self.record = record
        self.registry = registry
        self.tokens = tokens
        self._rng = rng
        self.now_s = now_s
        own = now_s() + candidates.route.timeouts.total_s
        self.deadline = own if call.deadline is None else min(own, call.deadline)
        self._retries_left = candidates.route.retries.budget
        self._tried: list[Candidate] = []
        self._failure: GatewayError | None = None
        self.candidate = candidates.only or self._first()

    def _first(self) -> Candidate:
        found = self.candidates.choose((), self.now_s(), self._rng)
        assert found is not None
        return found

    def begin(self) -> AttemptScope:
        """Starts the next attempt."""
        return AttemptScope(self)

    async def failed(self, attempt: AttemptScope, error: BaseException) -> None:
        """Waits until the next attempt is due. Raises the final error if none is left, and anything other than a
        GatewayError at once."""
        failure = attempt.failed(error)
        if not isinstance(failure, GatewayError):
            raise failure
        wait_s = self._wait_after(failure, sent=attempt.sent)
        if wait_s is None:
            try:
                raise self._final_error(failure) from error.__cause__
            finally:
                del failure, error  # otherwise this frame and the error would refer to each other
        if wait_s > 0:
            await self._wait(wait_s)

    async def run(self, serve: Callable[[AttemptScope], Awaitable[_Served]]) -> _Served:
        """Returns the result of the first attempt for which `serve` does not raise. Either `serve` or the code that reads
        its stream to the end calls the attempt's `succeeded`. Raises what `failed` raises."""
        while True:
            attempt = self.begin()
            try:
                return await serve(attempt)
            except BaseException as error:  # noqa: BLE001  # re-raised by failed() unless another attempt follows
                await self.failed(attempt, error)

    async def _wait(self, wait_s: float) -> None:
        waiting = time.perf_counter()
        try:
            await asyncio.sleep(wait_s)
        finally:
            self.record.waited_s += time.perf_counter() - waiting

    def head_by(self, now_s: float) -> float:
        """Returns when the head of a whole answer is due: earlier than the deadline only if another upstream could
        still help."""
        if self.candidates.only is not None or self._retries_left <= 0:
            return self.deadline
        if not self.candidates.has_other((*self._tried, self.candidate), now_s):
            return self.deadline
        return min(self.deadline, now_s + self.candidates.route.timeouts.first_output_s)

    def _wait_after(self, error: GatewayError, *, sent: bool) -> float | None:
        """Chooses the next candidate. Returns the seconds to wait before calling it, or None if there is no next
        attempt. `sent` is False if the upstream cannot express the call, which was found without sending it."""
        before = self.candidate
        self._tried.append(before)
        now_s = self.now_s()
        if not sent:
            if self._failure is None:
                self._failure = error
            return self._continue_with(self.candidates.choose(self._tried, now_s, self._rng))
        self._failure = error
        helps = STATUS_ROWS[error.kind].another_upstream_may_help or error.kind in self.candidates.route.fallback_on
        if self._retries_left <= 0 or not helps:
            return None
        other = None if self.candidates.only else self.candidates.choose(self._tried, now_s, self._rng)
        wait_s = self._backoff_s(error, now_s) if other is None else 0.0
        if wait_s is None or now_s + wait_s + _ATTEMPT_S_MIN > self.deadline:
            return None
        self._retries_left -= 1
        self.record.count_retry(error, elsewhere=other is not None)
        self.candidate = other or before
        return wait_s

    def _continue_with(self, candidate: Candidate | None) -> float | None:
        if candidate is None:
            return None
        self.candidate = candidate
        return 0.0

    def _backoff_s(self, error: GatewayError, now_s: float) -> float | None:
        """Returns the seconds to wait before calling the same upstream again; None if that does not help or takes
        too long."""
        if error.kind not in TRANSIENT:
            return None
        retries = self.candidates.route.retries
        used = retries.budget - self._retries_left
        wait_s = self._rng.uniform(0.0, min(retries.backoff_max_s, retries.backoff_s * 2**used))
        if error.retry_after_s:
            wait_s += error.retry_after_s
        if wait_s > retries.backoff_max_s:
            return None
        if self.candidates.only is None and not self.candidate.health.circuit.admits(now_s + wait_s):
            return None
        return wait_s

    def _final_error(self, error: GatewayError) -> GatewayError:
        """Prefers a provider's failure over the refusal of a fallback that cannot express the call."""
        failure = error if self._failure is None else self._failure
        return replace_error(failure, retried=True) if self.record.attempts > 1 else failure

"""The attempts of one call: which upstream is called, whether another may be called after a failure, and when.

    loop = RetryLoop(...)
    while True:
        attempt = loop.begin()
        try:
            ...
            attempt.succeeded()
        except BaseException as error:
            await loop.failed(attempt, error)   # raises, unless another attempt follows

All waiting is bounded by the call's deadline.
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
from sidecar.gateway.read_answer import showable
from sidecar.gateway.record import Record
from sidecar.upstream.credentials import AccessTokens

# Nobody answers a prompt in less: an attempt that has only so long is a wasted one.
_ATTEMPT_S_MIN = 0.25
# Of one error: its cause, the cause of that, and so on. Real ones have four.
_CAUSES_MAX = 64

_Served = TypeVar("_Served")


class AttemptScope:
    """One attempt, from its choice to its end: counted once, its circuit informed, its error made fit to be shown. Exactly one of
    `succeeded` and `failed` ends it."""

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

    def sends(self, prepared: PreparedCall) -> None:
        """From now on the provider may know of the call."""
        self.sent = True
        self._url = prepared.http.url
        candidate = self.candidate
        self._loop.record.attempt_begins(candidate.name, candidate.plan.upstream, prepared.http.left_out)

    def has_output(self) -> None:
        """The first output is here."""
        if self._probe:
            self.candidate.health.circuit.answered(probe=True)
            self.candidate.health.show()

    def succeeded(self) -> None:
        loop, health = self._loop, self.candidate.health
        health.in_flight -= 1
        loop.record.attempt_ends(self.candidate.plan.upstream.provider, OK)
        health.circuit.succeeded(loop.now_s(), probe=self._probe)
        if self._probe:
            health.show()

    def failed(self, error: BaseException) -> BaseException:
        """The error as the caller may see it."""
        loop, candidate = self._loop, self.candidate
        candidate.health.in_flight -= 1
        if self.sent:
            loop.record.attempt_ends(candidate.plan.upstream.provider, outcome_of(error, loop.call.deadline))
        if isinstance(error, GatewayError):
            raised = error
            error = showable(error, candidate.plan.upstream, loop.tokens)
            now_s = loop.now_s()
            in_a_hurry = self._callers_time_is_over(error, now_s)
            if self.sent:
                self._log(error, now_s, " The caller's own deadline was over." if in_a_hurry else "")
            let_go(raised)
            if self.sent and not in_a_hurry and not _is_our_own(error):
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

    def _callers_time_is_over(self, error: GatewayError, now_s: float) -> bool:
        """A caller in a hurry is no sign of a sick provider."""
        deadline = self._loop.call.deadline
        return error.kind is Kind.UPSTREAM_TIMEOUT and deadline is not None and now_s >= deadline - DEADLINE_SLACK_S


def let_go(error: BaseException) -> None:
    """Of the frames that it came through. They hold what was read of an answer, up to 64 MiB, and the error: such a circle would
    stay until the next collection, which is many calls away."""
    left: list[BaseException | None] = [error]
    for _ in range(_CAUSES_MAX):
        if not left:
            return
        if (each := left.pop()) is not None:
            each.__traceback__ = None
            left += [each.__cause__, each.__context__]


def _is_our_own(error: GatewayError) -> bool:
    """This process ran out of something: no sign of a sick provider, and none of a healthy one."""
    return error.kind is Kind.OVERLOADED and error.status is None


class RetryLoop:
    """Chooses the upstream of each attempt of one call. `now_s` is the event loop's clock, and `deadline` is on it."""

    __slots__ = (
        "_chance",
        "_failure",
        "_left",
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
        chance: random.Random,
        now_s: Callable[[], float],
    ) -> None:
        self.call = call
        self.candidates = candidates
        self.record = record
        self.registry = registry
        self.tokens = tokens
        self._chance = chance
        self.now_s = now_s
        own = now_s() + candidates.route.timeouts.total_s
        self.deadline = own if call.deadline is None else min(own, call.deadline)
        self._left = candidates.route.retries.budget
        self._tried: list[Candidate] = []
        self._failure: GatewayError | None = None
        self.candidate = candidates.only or self._first()

    def _first(self) -> Candidate:
        found = self.candidates.choose((), self.now_s(), self._chance)
        assert found is not None
        return found

    def begin(self) -> AttemptScope:
        """The next attempt."""
        return AttemptScope(self)

    async def failed(self, attempt: AttemptScope, error: BaseException) -> None:
        """Raises the final error when no attempt is left, and at once what is no GatewayError; else waits for the next one."""
        failure = attempt.failed(error)
        if not isinstance(failure, GatewayError):
            raise failure
        wait_s = self._wait_after(failure, sent=attempt.sent)
        if wait_s is None:
            try:
                raise self._final(failure) from error.__cause__
            finally:
                del failure, error  # else this frame holds the error that has come through it
        if wait_s > 0:
            await self._wait(wait_s)

    async def run(self, serve: Callable[[AttemptScope], Awaitable[_Served]]) -> _Served:
        """What the first attempt gives that `serve` does not fail. `serve` calls the attempt's `succeeded`, or whoever
        reads the stream at its end. Raises what `failed` does."""
        while True:
            attempt = self.begin()
            try:
                return await serve(attempt)
            except BaseException as error:  # noqa: BLE001  # it is raised again
                await self.failed(attempt, error)

    async def _wait(self, wait_s: float) -> None:
        waiting = time.perf_counter()
        try:
            await asyncio.sleep(wait_s)
        finally:
            self.record.waited_s += time.perf_counter() - waiting

    def head_by(self, now_s: float) -> float:
        """When a whole answer's head must be here: another upstream can help only while there is time for it."""
        if self.candidates.only is not None or self._left <= 0:
            return self.deadline
        if not self.candidates.another((*self._tried, self.candidate), now_s):
            return self.deadline
        return min(self.deadline, now_s + self.candidates.route.timeouts.first_output_s)

    def _wait_after(self, error: GatewayError, *, sent: bool) -> float | None:
        """Seconds until `candidate`, chosen again, is to be called; None when this was the last attempt. Not `sent`: the upstream
        has no place for such a call, which was found here."""
        before = self.candidate
        self._tried.append(before)
        now_s = self.now_s()
        if not sent:
            if self._failure is None:
                self._failure = error
            return self._go_to(self.candidates.choose(self._tried, now_s, self._chance))
        self._failure = error
        helps = STATUS_ROWS[error.kind].another_upstream_may_help or error.kind in self.candidates.route.fallback_on
        if self._left <= 0 or not helps:
            return None
        other = None if self.candidates.only else self.candidates.choose(self._tried, now_s, self._chance)
        wait_s = self._same_again_s(error, now_s) if other is None else 0.0
        if wait_s is None or now_s + wait_s + _ATTEMPT_S_MIN > self.deadline:
            return None
        self._left -= 1
        self.record.retries(error, elsewhere=other is not None)
        self.candidate = other or before
        return wait_s

    def _go_to(self, candidate: Candidate | None) -> float | None:
        if candidate is None:
            return None
        self.candidate = candidate
        return 0.0

    def _same_again_s(self, error: GatewayError, now_s: float) -> float | None:
        """How long to wait before the same upstream is called again; None where that does not help, or is too long."""
        if error.kind not in TRANSIENT:
            return None
        retries = self.candidates.route.retries
        used = retries.budget - self._left
        wait_s = self._chance.uniform(0.0, min(retries.backoff_max_s, retries.backoff_s * 2**used))
        if error.retry_after_s:
            wait_s += error.retry_after_s
        if wait_s > retries.backoff_max_s:
            return None
        if self.candidates.only is None and not self.candidate.health.circuit.admits(now_s + wait_s):
            return None
        return wait_s

    def _final(self, error: GatewayError) -> GatewayError:
        """A provider's failure rather than that a fallback has no place for the call."""
        failure = error if self._failure is None else self._failure
        return replace_error(failure, retried=True) if self.record.attempts > 1 else failure

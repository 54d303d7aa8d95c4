"""The attempts of one call: which upstream is asked, whether another may be asked after a failure, and when.

Pure of transport: the gateway asks, this says what comes next. All waiting is bounded by the call's deadline.
"""

from __future__ import annotations

import asyncio
import random
from types import TracebackType

from adapters import GatewayError, Kind
from sidecar.accounting import DEADLINE_SLACK_S, OK, Record, outcome_of
from sidecar.attempt import Attempt, make_showable
from sidecar.calls import Call
from sidecar.credentials import Tokens
from sidecar.errors import ANSWERS, TRANSIENT
from sidecar.ways import Upstreams, Way, Ways

# Nobody answers a prompt in less: an attempt that has only so long is a wasted one.
_ATTEMPT_S_MIN = 0.25


class Tries:
    """Chooses the upstream of each attempt. `way` is the one to ask now."""

    __slots__ = ("_chance", "_deadline", "_failure", "_left", "_tried", "way", "ways")

    def __init__(self, ways: Ways, deadline: float, chance: random.Random) -> None:
        self.ways = ways
        self._deadline = deadline
        self._chance = chance
        self._left = ways.route.retries.budget
        self._tried: list[Way] = []
        self._failure: GatewayError | None = None
        self.way = ways.only or self._choose()

    def _choose(self) -> Way:
        found = self.ways.choose((), asyncio.get_running_loop().time(), self._chance)
        assert found is not None
        return found

    def limit(self) -> float:
        """Until when a whole answer's head must be here: another upstream can help only while there is time for it."""
        if self.ways.only is not None or self._left <= 0:
            return self._deadline
        now_s = asyncio.get_running_loop().time()
        if not self.ways.another((*self._tried, self.way), now_s):
            return self._deadline
        return min(self._deadline, now_s + self.ways.route.timeouts.first_output_s)

    def wait_after(self, error: GatewayError, record: Record, *, asked: bool) -> float | None:
        """Seconds until `way`, set anew, is to be asked; None when this was the last attempt. `asked`: the provider was, and
        not only found unable to say such a call."""
        before = self.way
        self._tried.append(before)
        now_s = asyncio.get_running_loop().time()
        if not asked:
            if self._failure is None:
                self._failure = error
            return self._go_to(self.ways.choose(self._tried, now_s, self._chance))
        self._failure = error
        error.retried = record.attempts > 1
        if self._left <= 0 or not ANSWERS[error.kind].another_upstream_may_help:
            return None
        other = None if self.ways.only else self.ways.choose(self._tried, now_s, self._chance)
        wait_s = self._same_again_s(error, now_s) if other is None else 0.0
        if wait_s is None or now_s + wait_s + _ATTEMPT_S_MIN > self._deadline:
            return None
        self._left -= 1
        record.tries_again(error, elsewhere=other is not None)
        self.way = other or before
        return wait_s

    def _go_to(self, way: Way | None) -> float | None:
        if way is None:
            return None
        self.way = way
        return 0.0

    def _same_again_s(self, error: GatewayError, now_s: float) -> float | None:
        """How long to wait before the same upstream is asked again; None where that does not help, or is too long."""
        if error.kind not in TRANSIENT:
            return None
        retries = self.ways.route.retries
        spent = retries.budget - self._left
        wait_s = self._chance.uniform(0.0, min(retries.backoff_max_s, retries.backoff_s * 2**spent))
        if error.retry_after_s:
            wait_s += error.retry_after_s
        if wait_s > retries.backoff_max_s:
            return None
        if self.ways.only is None and not self.way.circuit.admits(now_s + wait_s):
            return None
        return wait_s

    def verdict(self, error: GatewayError) -> GatewayError:
        """What the caller hears in the end: a provider's failure rather than that a fallback cannot say the call."""
        return error if self._failure is None else self._failure


class Trial:
    """One attempt, as a context manager: it is counted once, its upstream's circuit hears of it, and an error that leaves it is
    fit to be shown."""

    __slots__ = ("_call", "_probe", "_record", "_tokens", "_upstreams", "_way", "_ways", "asked")

    def __init__(self, tries: Tries, call: Call, record: Record, upstreams: Upstreams, tokens: Tokens) -> None:
        self._ways = tries.ways
        self._way = tries.way
        self._call = call
        self._record = record
        self._upstreams = upstreams
        self._tokens = tokens
        self._probe = False
        self.asked = False

    def __enter__(self) -> Trial:
        health = self._way.health
        health.in_flight += 1
        self._probe = health.circuit.begins(asyncio.get_running_loop().time())
        return self

    def asks(self, attempt: Attempt) -> None:
        """From now on the provider may hear of the call."""
        self.asked = True
        self._call.left_out = self._record.left_out = attempt.http.left_out
        self._call.upstream = self._way.name
        self._record.attempt_begins(self._way.name)

    def answered(self) -> None:
        """The first output is here."""
        if self._probe:
            self._way.circuit.answered(probe=True)
            self._way.health.show()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        way = self._way
        way.health.in_flight -= 1
        provider = way.plan.upstream.provider
        if error is None:
            self._record.attempt_ends(provider, OK)
            way.circuit.succeeded(asyncio.get_running_loop().time(), probe=self._probe)
            if self._probe:
                way.health.show()
            return
        if self.asked:
            self._record.attempt_ends(provider, outcome_of(error, self._call.deadline))
        now_s = asyncio.get_running_loop().time()
        if isinstance(error, GatewayError):
            make_showable(error, way.plan.upstream, self._tokens)
        if not isinstance(error, GatewayError) or not self.asked or self._callers_time_is_over(error, now_s):
            way.circuit.abandoned(probe=self._probe)
        else:
            self._upstreams.failed(self._ways, way, now_s, error, probe=self._probe)

    def _callers_time_is_over(self, error: GatewayError, now_s: float) -> bool:
        """A caller in a hurry says nothing about the provider."""
        deadline = self._call.deadline
        return error.kind is Kind.UPSTREAM_TIMEOUT and deadline is not None and now_s >= deadline - DEADLINE_SLACK_S

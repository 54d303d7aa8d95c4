"""When an upstream is ejected. A pure state machine: what happened and the time come in.

Closed: calls go there. Open: none do until a time has passed. Then one real call probes (half-open); an answer closes the
circuit, a failure opens it again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Breaker

# The window is counted in this many pieces; what is older than the window leaves a piece at a time.
_PIECES: Final = 10
# The longest that a Retry-After keeps an upstream out: one of a day is checked now and then.
_NAMED_S_MAX: Final = 600.0

# Failures of the upstream itself. A provider that refuses a request for the request's sake is in good health.
_FAILURES = frozenset(
    {
        Kind.UPSTREAM_TIMEOUT,
        Kind.UPSTREAM_UNAVAILABLE,
        Kind.UPSTREAM_NOT_FOUND,
        Kind.UPSTREAM_PROTOCOL,
        Kind.UPSTREAM_INTERRUPTED,
        Kind.RATE_LIMITED,
    }
)


class State(StrEnum):
    """Of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Reason(StrEnum):
    """Why a circuit opened; a metric label."""

    CONSECUTIVE = "consecutive_failures"
    RATIO = "error_ratio"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota_exhausted"
    CREDENTIALS = "rejected_credentials"
    PROBE = "probe_failed"


class Circuit:
    """One upstream's. Times are seconds on any clock that only goes forward.

    For each call `begins` comes first, then exactly one of `succeeded`, `failed`, `abandoned`; between them `answered` once the
    first output is here. Each of them gets what `begins` returned: whether the call is the probe.
    """

    __slots__ = ("_bad", "_consecutive", "_good", "_newest", "_probing", "_settings", "open_until_s", "state")

    def __init__(self, settings: Breaker) -> None:
        self._settings = settings
        self.state = State.CLOSED
        self.open_until_s = 0.0  # from then on an open circuit may be probed
        self._probing = False
        self._newest = 0  # number of the window's newest piece
        self._forget()

    def admits(self, now_s: float) -> bool:
        """Whether a call may go there."""
        return self.state is State.CLOSED or (now_s >= self.open_until_s and not self._probing)

    def begins(self, now_s: float) -> bool:
        """A call goes there; true if it is the probe. One that goes there against `admits`, for want of another upstream, is
        none."""
        if self.state is State.CLOSED or not self.admits(now_s):
            return False
        self.state = State.HALF_OPEN
        self._probing = True
        return True

    def answered(self, *, probe: bool) -> None:
        """Output has begun: a probe need not wait for the end of a long stream."""
        if probe and self.state is State.HALF_OPEN:
            self.state = State.CLOSED
            self._probing = False
            self._forget()

    def succeeded(self, now_s: float, *, probe: bool) -> None:
        """The call ended well, or the provider refused it for the call's own sake."""
        if probe:
            self.answered(probe=True)
        self._consecutive = 0
        self._good[self._piece(now_s)] += 1

    def abandoned(self, *, probe: bool) -> None:
        """The caller left, or its deadline came: nothing is known of the upstream."""
        if probe and self.state is State.HALF_OPEN:
            self.state = State.OPEN  # its time is over: the next call probes
            self._probing = False

    def failed(self, now_s: float, error: GatewayError, *, probe: bool) -> Reason | None:
        """The call failed. Why the circuit opened by that; None if it did not, or was open."""
        at_once = _at_once(error)
        if at_once is None and error.kind not in _FAILURES:
            self.succeeded(now_s, probe=probe)
            return None
        self._consecutive += 1
        self._bad[self._piece(now_s)] += 1
        before = self.state
        if before is State.CLOSED:
            reason = at_once or self._worn_out()
        else:
            reason = at_once or (Reason.PROBE if probe and before is State.HALF_OPEN else None)
        if reason is None:
            return None
        self._open(now_s + _wait_s(error, self._settings))
        return None if before is State.OPEN else reason

    def _worn_out(self) -> Reason | None:
        if self._consecutive >= self._settings.consecutive_failures:
            return Reason.CONSECUTIVE
        bad = sum(self._bad)
        calls = bad + sum(self._good)
        if calls >= self._settings.calls_min and bad >= self._settings.error_ratio * calls:
            return Reason.RATIO
        return None

    def _open(self, until_s: float) -> None:
        """Never for a shorter time than it is open already."""
        self.open_until_s = max(until_s, self.open_until_s)
        self.state = State.OPEN
        self._probing = False

    def _forget(self) -> None:
        self._consecutive = 0
        self._good = [0] * _PIECES
        self._bad = [0] * _PIECES

    def _piece(self, now_s: float) -> int:
        """Where this moment is counted; pieces that the window has left are emptied."""
        number = int(now_s * _PIECES / self._settings.window_s)
        for gone in range(self._newest + 1, min(number, self._newest + _PIECES) + 1):
            self._good[gone % _PIECES] = self._bad[gone % _PIECES] = 0
        self._newest = max(number, self._newest)
        return self._newest % _PIECES


def _at_once(error: GatewayError) -> Reason | None:
    """What needs no second failure: the provider named a time, or only an operator can fix it."""
    match error.kind:
        case Kind.UPSTREAM_REJECTED_CREDENTIALS:
            return Reason.CREDENTIALS
        case Kind.QUOTA_EXHAUSTED:
            return Reason.QUOTA
        case Kind.RATE_LIMITED if error.retry_after_s:
            return Reason.RATE_LIMITED
        case _:
            return None


def _wait_s(error: GatewayError, settings: Breaker) -> float:
    if error.retry_after_s:
        return min(error.retry_after_s, _NAMED_S_MAX)
    return settings.open_s

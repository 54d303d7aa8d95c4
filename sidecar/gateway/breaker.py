"""Circuit breaker of an upstream: a pure state machine that is given events and the time.

Closed: calls pass. Open: none pass until a timeout. Half-open: one real call probes the upstream; an answer closes
the circuit, a failure opens it again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Breaker

# The sliding window consists of this many buckets, which expire one at a time.
_BUCKETS: Final = 10
# Upper bound on an ejection caused by Retry-After: even if a provider asks for a day, probe it now and then.
_RETRY_AFTER_S_MAX: Final = 600.0

# Failures that count against the upstream. A provider that rejects an invalid request is healthy.
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
    """The state of a circuit."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Reason(StrEnum):
    """Why a circuit opened; used as a metric label."""

    CONSECUTIVE = "consecutive_failures"
    RATIO = "error_ratio"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota_exhausted"
    CREDENTIALS = "rejected_credentials"
    PROBE = "probe_failed"


class Circuit:
    """The circuit of one upstream. Times are seconds on any monotonic clock.

    For each call, `begins` comes first, then exactly one of `succeeded`, `failed` or `abandoned`, with `answered` in
    between once output has started. Pass each of them what `begins` returned: whether the call is the probe.
    """

    __slots__ = ("_bad", "_consecutive", "_good", "_newest", "_probing", "_settings", "open_until_s", "state")

    def __init__(self, settings: Breaker) -> None:
        self._settings = settings
        self.state = State.CLOSED
        self.open_until_s = 0.0  # an open circuit may be probed from then on
        self._probing = False
        self._newest = 0  # sequence number of the newest bucket
        self._reset()

    def admits(self, now_s: float) -> bool:
        """Whether a call may be sent."""
        return self.state is State.CLOSED or (now_s >= self.open_until_s and not self._probing)

    def begins(self, now_s: float) -> bool:
        """Registers a call and returns whether it is the probe. A call that is sent although `admits` is false,
        because no other upstream is left, is not a probe."""
        if self.state is State.CLOSED or not self.admits(now_s):
            return False
        self.state = State.HALF_OPEN
        self._probing = True
        return True

    def answered(self, *, probe: bool) -> None:
        """Output has started. Closes the circuit for a probe, which need not wait for the end of a long stream."""
        if probe and self.state is State.HALF_OPEN:
            self.state = State.CLOSED
            self._probing = False
            self._reset()

    def succeeded(self, now_s: float, *, probe: bool) -> None:
        """The call succeeded, or the provider rejected it for a reason that lies in the request."""
        if probe:
            self.answered(probe=True)
        self._consecutive = 0
        self._good[self._bucket(now_s)] += 1

    def abandoned(self, *, probe: bool) -> None:
        """The caller left or its deadline passed, which says nothing about the upstream."""
        if probe and self.state is State.HALF_OPEN:
            self.state = State.OPEN  # the timeout has passed, so the next call probes
            self._probing = False

    def failed(self, now_s: float, error: GatewayError, *, probe: bool) -> Reason | None:
        """The call failed. Returns the reason if this opened the circuit; None if it stayed closed or was already
        open."""
        immediate = _immediate_reason(error)
        if immediate is None and error.kind not in _FAILURES:
            self.succeeded(now_s, probe=probe)
            return None
        self._consecutive += 1
        self._bad[self._bucket(now_s)] += 1
        before = self.state
        if before is State.CLOSED:
            reason = immediate or self._threshold_reason()
        else:
            reason = immediate or (Reason.PROBE if probe and before is State.HALF_OPEN else None)
        if reason is None:
            return None
        self._open(now_s + _wait_s(error, self._settings))
        return None if before is State.OPEN else reason

    def _threshold_reason(self) -> Reason | None:
        if self._consecutive >= self._settings.consecutive_failures:
            return Reason.CONSECUTIVE
        bad = sum(self._bad)
        calls = bad + sum(self._good)
        if calls >= self._settings.calls_min and bad >= self._settings.error_ratio * calls:
            return Reason.RATIO
        return None

    def _open(self, until_s: float) -> None:
        """Opens the circuit, never for a shorter time than it is already open."""
        self.open_until_s = max(until_s, self.open_until_s)
        self.state = State.OPEN
        self._probing = False

    def _reset(self) -> None:
        self._consecutive = 0
        self._good = [0] * _BUCKETS
        self._bad = [0] * _BUCKETS

    def _bucket(self, now_s: float) -> int:
        """Returns the index of the current bucket, after clearing the buckets that have left the window."""
        number = int(now_s * _BUCKETS / self._settings.window_s)
        for gone in range(self._newest + 1, min(number, self._newest + _BUCKETS) + 1):
            self._good[gone % _BUCKETS] = self._bad[gone % _BUCKETS] = 0
        self._newest = max(number, self._newest)
        return self._newest % _BUCKETS


def _immediate_reason(error: GatewayError) -> Reason | None:
    """The reason to open on the first failure: the provider named a time to wait, or only an operator can fix the
    cause."""
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
        return min(error.retry_after_s, _RETRY_AFTER_S_MAX)
    return settings.open_s

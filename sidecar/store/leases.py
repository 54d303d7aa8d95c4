"""Limits with `mode: leased`: a worker holds a slice of the limit and admits calls from it without a round trip.

A slice is a reservation of many units. When half of it is used, the next one is requested in the background; once it
is used up or five seconds old, it is settled with what was used. So an idle worker holds nothing, and the slice of a
killed worker expires. If no slice is available, a call requests what it needs itself: only the store refuses calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sidecar.limits import Bucket, Level, Refused
from sidecar.store import operations
from sidecar.store.line import StoreError, Unanswered
from sidecar.store.operations import Operation
from sidecar.store.session import Session

# A worker holds at most two slices, each a sixteenth of the limit. So per worker, an eighth of the limit may be
# admitted in excess in a window, or be refused although other workers hold it.
SLICE_SHARE = 16
_CALLS_MIN = 8
# What was used in this time is the size of the next slice, if that is large enough.
_AHEAD_S = 0.5
_AGE_MAX_S = 5.0
_TTL_MS = 10_000
# Other calls may use up a slice before the one that waited for it.
_ATTEMPTS_MAX = 3
# After a whole slice was refused, calls make their own requests for this long.
_SMALL_S = 0.25


@dataclass(slots=True)
class _Slice:
    number: int
    units: int
    left: int
    since: float


class Lease:
    """One limit on one worker."""

    def __init__(self, bucket: Bucket, session: Session) -> None:
        assert bucket.rate is not None
        self.bucket = bucket
        self._session = session
        self._rules = operations.rules_of((bucket,), ())
        self._now: _Slice | None = None
        self._next: _Slice | None = None
        self._asking: asyncio.Task[None] | None = None
        self._owed = 0  # units used beyond the slices; negative if too many were taken. Included in the next settle
        self._used = 0  # since `_measured`
        self._measured = 0.0
        self._small_until = 0.0
        self._level_ns = 0

    def cost(self, tokens: int) -> int:
        return min(tokens, self.bucket.count) if self.bucket.unit == "tokens" else 1

    def take(self, units: int) -> bool:
        """Takes units from the slice. Returns whether it had enough; otherwise use `ask`."""
        now = self._now
        if now is None or now.left < units:
            if self._next is None or self._next.left < units:
                return False
            self._end(now)
            now, self._now, self._next = self._next, self._next, None
        now.left -= units
        self._used += units
        if now.left < now.units // 2 and self._next is None and self._asking is None:
            self._asking = asyncio.create_task(self._ask_ahead())
        return True

    def correct(self, units: int) -> None:
        """Corrects the units taken by a call; negative if it used fewer."""
        now = self._now
        if units < 0 and now is not None and now.units - now.left >= -units:
            now.left -= units
        else:
            self._owed += units

    async def ask(self, units: int) -> Refused | None:
        """Takes units for one call: through a whole slice that others share, or else just what the call needs.
        Returns None if taken. Raises StoreError."""
        for _ in range(_ATTEMPTS_MAX):
            if self._session.now() < self._small_until:
                break
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask_ahead(units))
            await asyncio.wait([self._asking])
            if self.take(units):
                return None
        slice_, wait_us = await self._ask(units)
        if slice_ is None:
            return Refused(self.bucket, wait_us * 1_000)
        self._used += units
        slice_.left -= units
        self._end(slice_)  # used up, as its settle will say
        return None

    def tick(self) -> None:
        """Called once a second: settles old slices."""
        oldest = self._session.now() - _AGE_MAX_S
        if self._now is not None and self._now.since < oldest:
            self._end(self._now)
            self._now = None
        if self._next is not None and self._next.since < oldest:
            self._end(self._next)
            self._next = None
        if self._owed > 0 and self._now is None:
            self._end(_Slice(self._session.new_number(), 0, 0, 0.0))

    def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        for slice_ in (self._now, self._next):
            self._end(slice_)
        self._now = self._next = None
        if self._owed > 0:
            self._end(_Slice(self._session.new_number(), 0, 0, 0.0))

    def level(self) -> Level:
        """What is left according to the last answer, plus the slice."""
        rate = self.bucket.rate
        assert rate is not None
        held = sum(slice_.left for slice_ in (self._now, self._next) if slice_ is not None)
        used_ns = max(0, self._level_ns - held * rate.interval_ns)
        return Level(self.bucket, max(0, rate.window_ns - used_ns) // rate.interval_ns, used_ns)

    def _size(self) -> int:
        now = self._session.now()
        passed = max(now - self._measured, 0.001)
        wanted = int(self._used * _AHEAD_S / passed) if self._measured else 0
        self._used, self._measured = 0, now
        least = _CALLS_MIN if self.bucket.unit == "requests" else 0
        return max(1, min(max(wanted, least), self.bucket.count // SLICE_SHARE))

    async def _ask_ahead(self, least: int = 0) -> None:
        try:
            slice_, _ = await self._ask(max(least, self._size()))
            if slice_ is None:
                self._small_until = self._session.now() + _SMALL_S
            else:
                self._end(self._next)
                self._next = slice_
        except StoreError:
            # calls make their own requests, which are decided without the store
            self._small_until = self._session.now() + _SMALL_S
        finally:
            self._asking = None

    async def _ask(self, units: int) -> tuple[_Slice | None, int]:
        """Returns a slice, or the wait in microseconds."""
        session = self._session
        number = session.new_number()
        requests, tokens = (units, 0) if self.bucket.unit == "requests" else (0, units)
        words = operations.admit(session.host, number, tokens, 0, requests, _TTL_MS)
        release = Operation(operations.release(session.host, number))
        try:
            answer = await session.ask(Operation(words, self._rules))
            if answer[0] not in (0, 1):
                raise Unanswered("the answer came after the settlement")
        except BaseException:  # it may have been taken
            session.settle(number, release)
            raise
        self._level_ns = max(0, answer[4])
        if answer[0] == 0:
            return None, answer[2]
        hold = operations.hold(session.host, number, tokens, 0, requests, _TTL_MS)
        session.opened(number, Operation(hold, self._rules))
        return _Slice(number, units, units, session.now()), 0

    def _end(self, slice_: _Slice | None) -> None:
        """Settles a slice with what was used of it and what else is owed."""
        if slice_ is None:
            return
        used = slice_.units - slice_.left + self._owed
        self._owed = min(0, used)
        used = max(0, used)
        requests, tokens = (used, 0) if self.bucket.unit == "requests" else (0, used)
        words = operations.settle(self._session.host, slice_.number, requests, tokens, 0)
        self._session.settle(slice_.number, Operation(words, self._rules))


Taken = tuple[tuple[Lease, int], ...]


class Leases:
    """The leases of one worker."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._leases: dict[tuple[bytes, int], Lease] = {}
        self._ticking = asyncio.create_task(self._tick())

    def of(self, buckets: Sequence[Bucket]) -> tuple[Lease, ...]:
        return tuple(self._of(bucket) for bucket in buckets)

    def _of(self, bucket: Bucket) -> Lease:
        """A limit whose count changed is a different limit; what was held of the old one is returned."""
        key = (bucket.key, bucket.count)
        lease = self._leases.get(key)
        if lease is None:
            lease = self._leases[key] = Lease(bucket, self._session)
        return lease

    async def take(self, leases: Sequence[Lease], tokens: int) -> tuple[Taken, Refused | None]:
        """Takes from all leases or from none. Raises StoreError."""
        taken: list[tuple[Lease, int]] = []
        try:
            for lease in leases:
                units = lease.cost(tokens)
                refused = None if lease.take(units) else await lease.ask(units)
                if refused is not None:
                    give_back(taken)
                    return (), refused
                taken.append((lease, units))
        except BaseException:
            give_back(taken)
            raise
        return tuple(taken), None

    def take_now(self, leases: Sequence[Lease], tokens: int) -> Taken | None:
        """Like `take` without waiting; None if a request is necessary."""
        taken: list[tuple[Lease, int]] = []
        for lease in leases:
            units = lease.cost(tokens)
            if not lease.take(units):
                give_back(taken)
                return None
            taken.append((lease, units))
        return tuple(taken)

    async def close(self) -> None:
        self._ticking.cancel()
        await asyncio.gather(self._ticking, return_exceptions=True)
        for lease in self._leases.values():
            lease.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for lease in self._leases.values():
                lease.tick()


def give_back(taken: Sequence[tuple[Lease, int]]) -> None:
    for lease, units in taken:
        lease.correct(-units)

"""The buckets of all workers, with two operations: `reserve` before a call and `settle` after it. They are kept in
two tables in one folder.

A store shared by several machines offers the same operations. The clock is CLOCK_MONOTONIC, which on Linux is common
to all processes of a machine and never jumps. The folder is recreated at each start of the gateway, so no state
outlives its clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sidecar.limits import gcra
from sidecar.limits.buckets import Bucket
from sidecar.limits.table import Table

# 0.8 MB. When all rows are in use, the bucket that is nearest to empty is replaced.
_RATE_ROWS = 32_768
# Routes and consumers with a concurrency limit. 5.3 MB.
_CONCURRENT_ROWS = 2_048
# One column per worker slot: 99 workers, in up to three generations while they are replaced.
COLUMNS = 320
# gcra.take clips states further ahead than this; here it keeps the number within 64 bits.
_TAT_NS_MAX = 2**62


class Level(NamedTuple):
    """The state of a bucket, as callers may see it."""

    bucket: Bucket
    remaining: int
    reset_ns: int


class Refused(NamedTuple):
    """Why a call is refused. `retry_after_ns` is when all buckets would admit it if nothing else came; None if that
    depends on a running call ending."""

    bucket: Bucket
    retry_after_ns: int | None


@dataclass(slots=True)
class Reservation:
    """The result of `reserve`; `refused` is None if everything was taken. `costs` are the units taken from each
    bucket."""

    buckets: Sequence[Bucket]
    levels: list[Level]
    costs: list[int]
    refused: Refused | None = None
    note: str = ""  # tells callers how the decision was made, if not by the store

    def put_back(self) -> None:
        """Undoes the reservation in `levels`: nothing was taken after all."""
        for index, (bucket, remaining, reset_ns) in enumerate(self.levels):
            cost = self.costs[index]
            drained_ns = cost * bucket.rate.interval_ns if bucket.rate is not None else 0
            self.levels[index] = Level(bucket, remaining + cost, reset_ns - drained_ns)
            self.costs[index] = 0


class LimitStore:
    """Opened by each worker with its slot, and by the supervisor, which only calls `forget_worker`."""

    def __init__(self, folder: Path, slot: int, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Raises OSError if the files cannot be opened."""
        self._slot = slot
        self._now_ns = now_ns
        self._rates = Table(folder / "rates", rows=_RATE_ROWS, width=1)
        self._concurrent = Table(folder / "concurrent", rows=_CONCURRENT_ROWS, width=COLUMNS)

    def reserve(self, buckets: Sequence[Bucket], tokens: int) -> Reservation:
        """Takes one request, `tokens` and one concurrency slot from every bucket, or nothing from any. Holds one
        lock, so that of several processes competing for the last unit exactly one gets it."""
        reservation = Reservation(buckets, [], [])
        if not buckets:
            return reservation
        writes: list[tuple[Table, int, int]] = []
        self._rates.lock()
        try:
            now_ns = self._now_ns()
            for bucket in buckets:
                if bucket.rate is None:
                    self._take_place(bucket, reservation, writes)
                else:
                    self._take_units(bucket, now_ns, tokens, reservation, writes)
            if reservation.refused is None:
                for table, at, value in writes:
                    table.words[at] = value
            else:
                reservation.put_back()
        finally:
            self._rates.unlock()
        return reservation

    def _take_units(
        self,
        bucket: Bucket,
        now_ns: int,
        tokens: int,
        reservation: Reservation,
        writes: list[tuple[Table, int, int]],
    ) -> None:
        assert bucket.rate is not None
        row = self._row(bucket.key)
        taken = gcra.take(self._rates.words[row], now_ns, tokens if bucket.unit == "tokens" else 1, bucket.rate)
        reservation.levels.append(Level(bucket, taken.remaining, taken.reset_ns))
        reservation.costs.append(taken.cost)
        if taken.allowed:
            writes.append((self._rates, row, taken.tat_ns))
            return
        before = reservation.refused
        if before is None or (before.retry_after_ns is not None and before.retry_after_ns < taken.retry_after_ns):
            reservation.refused = Refused(bucket, taken.retry_after_ns)

    def _take_place(self, bucket: Bucket, reservation: Reservation, writes: list[tuple[Table, int, int]]) -> None:
        table = self._concurrent
        row = self._concurrent_row(bucket.key)
        under_way = bucket.count if row is None else self._under_way(row)
        full = row is None or under_way >= bucket.count
        reservation.levels.append(Level(bucket, 0 if full else bucket.count - under_way - 1, 0))
        reservation.costs.append(0 if full else 1)
        if row is None or full:
            reservation.refused = Refused(bucket, None)
            return
        table.use_column(self._slot)
        at = row * COLUMNS + self._slot
        writes.append((table, at, table.words[at] + 1))

    def settle(self, reservation: Reservation, *, kept: bool, tokens: int) -> None:
        """Ends a reservation and frees its concurrency slots.

        `kept`: the call counts and used `tokens`; otherwise everything is returned. The reservation's levels are
        updated.
        """
        if not reservation.buckets or reservation.refused is not None:
            return
        self._rates.lock()
        try:
            now_ns = self._now_ns()
            for index, bucket in enumerate(reservation.buckets):
                if bucket.rate is None:
                    self._free_place(bucket)
                    continue
                cost = reservation.costs[index]
                truth = 0 if not kept else tokens if bucket.unit == "tokens" else 1
                row = self._row(bucket.key)
                tat_ns = self._rates.words[row]
                if truth != cost:
                    tat_ns = min(gcra.settle(tat_ns, truth - cost, bucket.rate), _TAT_NS_MAX)
                    self._rates.words[row] = tat_ns
                used_ns = gcra.used_ns(tat_ns, now_ns)
                remaining = max(0, bucket.rate.window_ns - used_ns) // bucket.rate.interval_ns
                reservation.levels[index] = Level(bucket, remaining, used_ns)
        finally:
            self._rates.unlock()

    def _free_place(self, bucket: Bucket) -> None:
        row = self._concurrent.find(bucket.key)
        if row is None:
            return
        at = row * COLUMNS + self._slot
        if self._concurrent.words[at] > 0:
            self._concurrent.words[at] -= 1

    def levels(self, buckets: Sequence[Bucket]) -> list[Level]:
        """Reads the state of each bucket without taking anything or creating rows."""
        self._rates.lock()
        try:
            now_ns = self._now_ns()
            return [self._level(bucket, now_ns) for bucket in buckets]
        finally:
            self._rates.unlock()

    def _level(self, bucket: Bucket, now_ns: int) -> Level:
        if bucket.rate is None:
            row = self._concurrent.find(bucket.key)
            return Level(bucket, max(0, bucket.count - (0 if row is None else self._under_way(row))), 0)
        row = self._rates.find(bucket.key)
        used_ns = 0 if row is None else gcra.used_ns(self._rates.words[row], now_ns)
        remaining = max(0, bucket.rate.window_ns - used_ns) // bucket.rate.interval_ns
        return Level(bucket, min(bucket.count, remaining), used_ns)

    def under_way(self, key: bytes) -> int:
        """Calls of all workers that hold a concurrency slot of this bucket."""
        self._rates.lock()
        try:
            row = self._concurrent.find(key)
            return 0 if row is None else self._under_way(row)
        finally:
            self._rates.unlock()

    def forget_worker(self, slot: int) -> None:
        """Frees the concurrency slots of a dead worker by clearing its column. No other process writes there, so no
        lock is needed."""
        for row in range(self._concurrent.used):
            self._concurrent.words[row * COLUMNS + slot] = 0

    def close(self) -> None:
        self._rates.close()
        self._concurrent.close()

    def _under_way(self, row: int) -> int:
        start = row * COLUMNS
        return sum(self._concurrent.words[start : start + self._concurrent.columns])

    def _row(self, key: bytes) -> int:
        rates = self._rates
        row = rates.claim(key)
        if row is None:
            row = min(range(rates.rows), key=rates.words.__getitem__)
            rates.give(row, key)
        return row

    def _concurrent_row(self, key: bytes) -> int | None:
        table = self._concurrent
        row = table.claim(key)
        if row is None:  # a row without running calls can be reused
            row = next((each for each in range(table.rows) if self._under_way(each) == 0), None)
            if row is not None:
                table.give(row, key)
        return row

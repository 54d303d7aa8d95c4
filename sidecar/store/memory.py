"""The store of a single machine: buckets and sums in memory shared by its workers. It answers immediately."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sidecar.limits import Bucket, Level, LimitStore, Reservation
from sidecar.spend.budgets import Allowance, check
from sidecar.spend.calendar import Calendar
from sidecar.spend.ledger import Charge, Ledger
from sidecar.store.contract import Admitted, Needs, Rules

_NOTHING = Reservation((), [], [])


class SharedMemory:
    """`limits` and `ledger` are in the run directory and are closed together with this store."""

    def __init__(self, limits: LimitStore, ledger: Ledger, now_s: Callable[[], float] = time.time) -> None:
        self.limits = limits
        self.ledger = ledger
        self._now_s = now_s
        self._calendar = Calendar()

    def admit(self, rules: Rules, needs: Needs) -> Admitted:
        """Money is not reserved: a budget refuses once it is exceeded."""
        warned = None
        if rules.allowances:
            now_s = self._now_s()
            warned = check(rules.allowances, self.ledger, self._calendar.at(now_s), now_s)
        if not rules.buckets:
            return Admitted(_NOTHING, warned)
        return Admitted(self.limits.reserve(rules.buckets, needs.tokens), warned)

    def settle(self, rules: Rules, reservation: Reservation, charge: Charge) -> None:
        if reservation.buckets:
            self.limits.settle(reservation, kept=True, tokens=charge.input_tokens + charge.output_tokens)
        self.ledger.add(rules.route, rules.consumer, charge, self._calendar.at(self._now_s()))

    def release(self, rules: Rules, reservation: Reservation) -> None:
        if reservation.buckets:
            self.limits.settle(reservation, kept=False, tokens=0)

    def spent(self, allowance: Allowance) -> int:
        return self.ledger.spent(allowance.key, allowance.per, self._calendar.at(self._now_s()))

    async def levels(self, buckets: Sequence[Bucket]) -> list[Level]:
        return self.limits.levels(buckets)

    async def reached(self) -> None:
        """Always reachable."""

    async def close(self) -> None:
        self.limits.close()
        self.ledger.close()

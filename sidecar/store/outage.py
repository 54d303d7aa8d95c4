"""Decides calls while the store is unavailable, by the policy (`when_unavailable`) of each of their limits and
budgets.

    deny          the call is refused
    local_share   this gateway admits its share: the limit divided by the number of gateways last seen, or
                  what was left of the budget, divided in the same way
    allow         the call passes

Whatever passes is recorded when the store returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adapters import GatewayError, Kind
from sidecar.limits import Bucket, LimitStore, Reservation, share_of
from sidecar.limits.table import Table
from sidecar.spend.budgets import Allowance, budget_exceeded
from sidecar.spend.calendar import Calendar
from sidecar.spend.ledger import Ledger
from sidecar.store.contract import Needs, Rules

_DENY, _LOCAL = "deny", "local_share"
# Retry-After for callers: short for them, long for a store that restarts.
_RETRY_S = 1.0
# Budgets that are divided during one outage. 64 KB.
_SHARES = 4_096


@dataclass(slots=True)
class Share:
    """What a call took from the shares of this machine. `money` lists keys of budgets, each charged with `micro`."""

    reservation: Reservation
    money: tuple[bytes, ...] = ()
    micro: int = 0


class SpentSince:
    """Micro-dollars per budget that this machine let pass since the store became unavailable, in memory shared by
    its workers."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._table = Table(folder / "outage", rows=_SHARES, width=1)

    def take(self, wanted: list[tuple[bytes, int]], micro: int) -> int | None:
        """`wanted` lists budgets and what is left of each for this machine. Takes from all or none; returns the
        index of the first one that refuses."""
        self._table.lock()
        try:
            rows = [self._table.claim(key) for key, _ in wanted]
            for index, (row, (_, left)) in enumerate(zip(rows, wanted, strict=True)):
                if row is None or self._table.words[row] + micro > left:
                    return index
            for row in rows:
                self._table.words[row] += micro  # type: ignore[index]
        finally:
            self._table.unlock()
        return None

    def change(self, keys: tuple[bytes, ...], micro: int) -> None:
        self._table.lock()
        try:
            for key in keys:
                if (row := self._table.find(key)) is not None:
                    self._table.words[row] = max(0, self._table.words[row] + micro)
        finally:
            self._table.unlock()

    def clear(self) -> None:
        """The store has returned and counts what passed."""
        self._table.lock()
        for row in range(self._table.used):
            self._table.words[row] = 0
        self._table.unlock()

    def close(self) -> None:
        self._table.close()


class LocalShares:
    """`ledger` has the sums of all gateways as of the last fold."""

    def __init__(
        self, limits: LimitStore, ledger: Ledger, spent: SpentSince, now_s: Callable[[], float] = time.time
    ) -> None:
        self._limits = limits
        self._ledger = ledger
        self._spent = spent
        self._now_s = now_s
        self._calendar = Calendar()
        self._shares: dict[tuple[bytes, int, int], Bucket] = {}

    def admit(self, rules: Rules, needs: Needs, gateways: int) -> Share:
        """Raises store_unavailable if a rule denies, budget_exceeded if a budget's share is used up. A limit's
        refusal is in `reservation.refused` as usual; `note` names the policies."""
        for rule in _all(rules):
            if rule.when_unavailable == _DENY:
                raise _denied(rule)
        shared = [each for each in rules.allowances if each.when_unavailable == _LOCAL]
        money = tuple(_key(each) for each in shared)
        micro = needs.micro_dollars if shared else 0
        buckets = [self._share(each, gateways) for each in rules.buckets if each.when_unavailable == _LOCAL]
        found = Share(self._limits.reserve(buckets, needs.tokens if buckets else 0))
        found.reservation.note = note_of(rules)
        if shared and found.reservation.refused is None:
            try:
                self._take_money(shared, micro, gateways)
            except GatewayError:
                self._limits.settle(found.reservation, kept=False, tokens=0)
                raise
            found.money, found.micro = money, micro
        return found

    def settle(self, share: Share, *, kept: bool, tokens: int, micro: int) -> None:
        self._limits.settle(share.reservation, kept=kept, tokens=tokens)
        if share.money:
            self._spent.change(share.money, (micro if kept else 0) - share.micro)

    def _take_money(self, allowances: list[Allowance], micro: int, gateways: int) -> None:
        now_s = self._now_s()
        today = self._calendar.at(now_s)
        wanted = []
        for each in allowances:
            left = max(0, each.micro_dollars - self._ledger.spent(each.key, each.per, today))
            wanted.append((_key(each), left // gateways))
        refusing = self._spent.take(wanted, max(1, micro))
        if refusing is not None:
            each = allowances[refusing]
            ends_s = today.day_ends_s if each.per == "day" else today.month_ends_s
            why = "The store of budgets is unavailable, and this gateway has spent its share. "
            raise budget_exceeded(each, ends_s, now_s, why)

    def _share(self, bucket: Bucket, gateways: int) -> Bucket:
        key = (bucket.key, bucket.count, gateways)
        share = self._shares.get(key)
        if share is None:
            if len(self._shares) > 10_000:
                self._shares.clear()
            share = self._shares[key] = share_of(bucket, gateways)
        return share


def note_of(rules: Rules) -> str:
    """For example: away; local_share."""
    used = dict.fromkeys(each.when_unavailable for each in _all(rules))
    return f"away; {', '.join(used)}"


def _all(rules: Rules) -> tuple[Bucket | Allowance, ...]:
    return (*rules.buckets, *rules.allowances)


def _key(allowance: Allowance) -> bytes:
    """Sixteen bytes. A budget's key is that of its scope, which may have a budget per day and one per month."""
    return bytes((allowance.key[0] ^ allowance.per.encode()[0], *allowance.key[1:]))


def _denied(rule: Bucket | Allowance) -> GatewayError:
    if isinstance(rule, Bucket):
        name = f"The limit {rule.words}"
    else:
        name = f"The budget of {rule.scope}: {rule.amount}"
    text = f"{name} cannot be checked, because the shared store does not answer. Retry in a moment."
    return GatewayError(Kind.STORE_UNAVAILABLE, text, retry_after_s=_RETRY_S)

"""The store shared by several gateways. Each call runs one script for all its limits and budgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from adapters import GatewayError, Kind
from sidecar.limits import Bucket, Level, Refused, Reservation
from sidecar.spend.budgets import Allowance, Warned, budget_exceeded, dollars
from sidecar.spend.calendar import Calendar, Today
from sidecar.spend.ledger import Charge, Ledger
from sidecar.store import operations
from sidecar.store.batches import Answer
from sidecar.store.contract import Admitted, Needs, Rules
from sidecar.store.counters import Counters
from sidecar.store.leases import Lease, Leases, Taken, give_back
from sidecar.store.levels import read_levels
from sidecar.store.line import StoreError, Unanswered
from sidecar.store.operations import Operation
from sidecar.store.outage import LocalShares, Share, note_of
from sidecar.store.session import Session

_US_NS = 1_000
_START_S = 2.0  # a connection on a busy machine takes a tenth of this
# Layout of the script's answer: status, first refusing rule, wait, what that depends on; then the levels.
_LEVELS_AT = 4
_TAKEN, _REFUSED = 1, 0
_ON_CALLS, _NEVER = 1, 2


class _Encoded(NamedTuple):
    """Rules grouped by who decides: the script those in `rules` (`exact`, then `allowances`), this worker the
    leases. Two budgets with the same scope and period share a sum; the smaller one applies."""

    exact: tuple[Bucket, ...]
    leases: tuple[Lease, ...]
    allowances: tuple[Allowance, ...]
    rules: bytes
    buckets: tuple[Bucket, ...]


@dataclass(slots=True)
class Held(Reservation):
    """A reservation in the store. `number` is 0 if the store was not asked; `share` is what was taken on this
    machine instead."""

    number: int = 0
    tokens: int = 0
    micro: int = 0
    share: Share | None = None
    taken: Taken = ()  # taken from leases


class RedisStore:
    """`session` is this worker's connection; `shares` decides while the store is unavailable."""

    def __init__(
        self,
        session: Session,
        shares: LocalShares,
        ledger: Ledger,
        counters: Counters,
        closing: Callable[[], Awaitable[None]] | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._leases = Leases(session)
        self._shares = shares
        self._ledger = ledger
        self._counters = counters
        self._closing = closing
        self._now_s = now_s
        self._calendar = Calendar()

    @property
    def is_up(self) -> bool:
        return self._session.is_up

    def admit(self, rules: Rules, needs: Needs) -> Admitted | Awaitable[Admitted]:
        """Raises budget_exceeded, store_unavailable."""
        encoded = self._encoded(rules)
        micro = needs.micro_dollars if rules.allowances else 0
        held = Held(encoded.buckets, [], [], tokens=needs.tokens if rules.buckets else 0, micro=micro)
        if not self._session.is_up:
            return self._without(rules, needs, held)
        if not encoded.rules:
            taken = self._leases.take_now(encoded.leases, held.tokens)
            if taken is not None:
                held.taken = taken
                _read_leases(held)
                return Admitted(held, None)
        return self._ask(rules, needs, held)

    async def _ask(self, rules: Rules, needs: Needs, held: Held) -> Admitted:
        session, encoded = self._session, self._encoded(rules)
        try:
            if encoded.leases:
                held.taken, held.refused = await self._leases.take(encoded.leases, held.tokens)
                if held.refused is not None or not encoded.rules:
                    _read_leases(held)
                    return Admitted(held, None)
            held.number = session.new_number()
            words = operations.admit(session.host, held.number, held.tokens, held.micro)
            answer = await session.ask(Operation(words, encoded.rules))
            if answer[0] not in (_TAKEN, _REFUSED):
                raise Unanswered("the answer came after the settlement")
        except StoreError:
            _give_leases_back(held)
            return self._without(rules, needs, held)
        except BaseException:  # the caller has left, so it is unknown whether it was taken
            _give_leases_back(held)
            self._give_back(held)
            raise
        self._read_levels(encoded, held, answer)
        if answer[0] == _REFUSED:
            _give_leases_back(held)
            return self._refusal(encoded, held, answer)
        hold = operations.hold(session.host, held.number, held.tokens, held.micro)
        session.opened(held.number, Operation(hold, encoded.rules))
        _read_leases(held)
        return Admitted(held, self._warned(encoded, answer))

    def settle(self, rules: Rules, reservation: Reservation, charge: Charge) -> None:
        """Settles by number, even if the store has never seen the reservation: it is charged once."""
        held = reservation if isinstance(reservation, Held) else Held((), [], [])
        encoded = self._encoded(rules)
        tokens = charge.input_tokens + charge.output_tokens
        session = self._session
        number = held.number or session.new_number()
        row = msgspec.json.encode([rules.route, rules.consumer, *charge])
        words = operations.settle(session.host, number, 1, tokens, charge.micro_dollars, row)
        session.settle(number, Operation(words, encoded.rules))
        for lease, cost in held.taken or ((lease, 0) for lease in encoded.leases):
            lease.correct((tokens if lease.bucket.unit == "tokens" else 1) - cost)
        if held.share is not None:
            self._shares.settle(held.share, kept=True, tokens=tokens, micro=charge.micro_dollars)
        else:
            _correct_levels(held, 1, tokens)

    def release(self, rules: Rules, reservation: Reservation) -> None:
        if isinstance(reservation, Held) and reservation.refused is None:
            _give_leases_back(reservation)
            self._give_back(reservation)
            if reservation.share is not None:
                self._shares.settle(reservation.share, kept=False, tokens=0, micro=0)
            else:
                _correct_levels(reservation, 0, 0)

    def spent(self, allowance: Allowance) -> int:
        """The sum over all gateways as of the last fold, a quarter of a second ago."""
        return self._ledger.spent(allowance.key, allowance.per, self._calendar.at(self._now_s()))

    async def levels(self, buckets: Sequence[Bucket]) -> list[Level] | None:
        """Over all gateways; what workers hold in slices counts as used."""
        line = self._session.line
        if line is None:
            return None
        try:
            found = await read_levels(line, self._session.prefix, buckets)
        except StoreError:
            return None
        return [_level(bucket, level, taken=False) for bucket, level in zip(buckets, found, strict=True)]

    async def reached(self) -> None:
        """Returns after _START_S even without the store, so that a gateway starts during an outage."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                await self._session.up.wait()

    async def close(self) -> None:
        await self._leases.close()
        await self._session.close()
        if self._closing is not None:
            await self._closing()

    def _give_back(self, held: Held) -> None:
        if held.number:
            words = operations.release(self._session.host, held.number)
            self._session.settle(held.number, Operation(words))

    def _without(self, rules: Rules, needs: Needs, held: Held) -> Admitted:
        """The store is unavailable, or its decision is unknown; either way the call is settled by its number later."""
        try:
            share = self._shares.admit(rules, needs, self._session.gateways)
        except GatewayError:
            self._counters.decided("deny")
            self._give_back(held)
            raise
        self._counters.decided(note_of(rules).partition("; ")[2])
        held.share = share
        held.levels, held.note = share.reservation.levels, share.reservation.note
        if share.reservation.refused is not None:
            held.refused = share.reservation.refused
            self._give_back(held)
        return Admitted(held, None)

    def _refusal(self, encoded: _Encoded, held: Held, answer: Answer) -> Admitted:
        _, index, wait_us, depends, *_ = answer
        if index <= len(encoded.exact):
            wait_ns = None if depends else wait_us * _US_NS
            held.refused = Refused(encoded.exact[index - 1], wait_ns)
            return Admitted(held, None)
        allowance = encoded.allowances[index - 1 - len(encoded.exact)]
        left = allowance.micro_dollars - answer[_LEVELS_AT + index - 1]
        raise self._budget_refused(allowance, left, held.micro, depends)

    def _budget_refused(self, allowance: Allowance, left: int, micro: int, depends: int) -> GatewayError:
        name = f"Budget for {allowance.scope}: {allowance.amount}"
        if depends == _NEVER:
            text = (
                f"{name}. This call may cost more than that: {dollars(micro)}. Lower max_tokens, or shorten the prompt."
            )
            return GatewayError(Kind.BUDGET_EXCEEDED, text)
        if depends == _ON_CALLS:
            text = f"{name}. The rest is reserved by calls in progress. Retry when one has ended."
            return GatewayError(Kind.BUDGET_EXCEEDED, text)
        now_s = self._now_s()
        why = f"This call may cost {dollars(micro)}, but only {dollars(left)} is left. " if left > 0 else ""
        return budget_exceeded(allowance, _ends_s(allowance, self._calendar.at(now_s)), now_s, why)

    def _read_levels(self, encoded: _Encoded, held: Held, answer: Answer) -> None:
        refused = answer[0] == _REFUSED
        for bucket, level in zip(encoded.exact, answer[_LEVELS_AT:], strict=False):
            held.levels.append(_level(bucket, level, taken=not refused))
            cost = min(held.tokens, bucket.count) if bucket.unit == "tokens" else 1
            held.costs.append(0 if refused else cost)

    def _encoded(self, rules: Rules) -> _Encoded:
        made: _Encoded | None = rules.encoded
        if made is None:
            smallest: dict[str, Allowance] = {}
            for each in rules.allowances:
                name = operations.sum_name(each.key, each.per)
                if name not in smallest or smallest[name].micro_dollars > each.micro_dollars:
                    smallest[name] = each
            allowances = tuple(smallest.values())
            leased = tuple(bucket for bucket in rules.buckets if bucket.mode == "leased")
            exact = tuple(bucket for bucket in rules.buckets if bucket.mode == "exact")
            words = operations.rules_of(exact, allowances) if exact or allowances else b""
            made = _Encoded(exact, self._leases.of(leased), allowances, words, (*exact, *leased))
            rules.encoded = made
        return made

    def _warned(self, encoded: _Encoded, answer: Answer) -> Warned | None:
        """The budget closest to its end, including reservations."""
        warned: Warned | None = None
        if encoded.allowances:
            today = self._calendar.at(self._now_s())
            for each, level in zip(encoded.allowances, answer[-len(encoded.allowances) :], strict=True):
                used = level / each.micro_dollars
                if each.soft <= used < 1 and (warned is None or warned.used < used):
                    warned = Warned(each, used, _ends_s(each, today))
        return warned


def _give_leases_back(held: Held) -> None:
    give_back(held.taken)
    held.taken = ()


def _read_leases(held: Held) -> None:
    for lease, cost in held.taken:
        held.levels.append(lease.level())
        held.costs.append(cost)


def _ends_s(allowance: Allowance, today: Today) -> int:
    return today.day_ends_s if allowance.per == "day" else today.month_ends_s


def _level(bucket: Bucket, level: int, *, taken: bool) -> Level:
    """`level` is the nanoseconds until the bucket is empty, or the number of other running calls."""
    if bucket.rate is None:
        return Level(bucket, max(0, bucket.count - level - taken), 0)
    used_ns = max(0, level)
    return Level(bucket, max(0, bucket.rate.window_ns - used_ns) // bucket.rate.interval_ns, used_ns)


def _correct_levels(held: Held, requests: int, tokens: int) -> None:
    """Only accounts for this call; others may have changed the levels as well."""
    for index, (bucket, _, reset_ns) in enumerate(held.levels):
        if bucket.rate is not None:
            used = tokens if bucket.unit == "tokens" else requests
            held.levels[index] = _level(
                bucket, reset_ns + (used - held.costs[index]) * bucket.rate.interval_ns, taken=True
            )

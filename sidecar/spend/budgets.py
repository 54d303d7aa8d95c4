"""The budgets of a call, and whether they are exceeded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Budget, Consumer, Route, WhenUnavailable
from sidecar.spend.calendar import Today, timestamp
from sidecar.spend.ledger import Ledger, consumer_key, pair_key, route_key

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Allowance:
    """One budget in one scope. `route` or `consumer` is "" if it applies to all of them."""

    key: bytes
    route: str
    consumer: str
    micro_dollars: int
    per: Literal["day", "month"]
    soft: float
    when_unavailable: WhenUnavailable = "deny"

    @property
    def scope(self) -> str:
        """For example: route "chat" and consumer "team"."""
        names = [f'route "{self.route}"'] * bool(self.route) + [f'consumer "{self.consumer}"'] * bool(self.consumer)
        return " and ".join(names)

    @property
    def amount(self) -> str:
        """For example: $5.00 per day."""
        return f"{dollars(self.micro_dollars)} per {self.per}"

    @property
    def header_text(self) -> str:
        """Without names, because headers are ASCII."""
        scope = ["route"] * bool(self.route) + ["consumer"] * bool(self.consumer)
        return f"{self.amount} for this {' and '.join(scope)}"


class Warned(NamedTuple):
    """A budget past its soft threshold but not exceeded. `used` is a share below 1."""

    allowance: Allowance
    used: float
    resets_s: int


def allowances_of(route: Route, consumer: Consumer) -> tuple[Allowance, ...]:
    return (
        *_allowances(route.budgets, route.name, "", consumer.name),
        *_allowances(consumer.budgets, "", consumer.name, route.name),
    )


def _allowances(budgets: Iterable[Budget], route: str, consumer: str, other: str) -> Iterator[Allowance]:
    for budget in budgets:
        names = (route or other, consumer or other) if budget.each else (route, consumer)
        yield Allowance(_key(*names), *names, budget.micro_dollars, budget.per, budget.soft, budget.when_unavailable)


def _key(route: str, consumer: str) -> bytes:
    if route and consumer:
        return pair_key(route, consumer)
    return route_key(route) if route else consumer_key(consumer)


def check(allowances: Sequence[Allowance], ledger: Ledger, today: Today, now_s: float) -> Warned | None:
    """Returns the budget closest to its end, if one is past its soft threshold. Raises budget_exceeded if any is
    exceeded, with the time until the last of those resets. Running calls still finish and are charged."""
    warned: Warned | None = None
    exceeded: Warned | None = None
    for each in allowances:
        spent = ledger.spent(each.key, each.per, today)
        used = spent / each.micro_dollars if each.micro_dollars else math.inf
        if used < each.soft and used < 1:
            continue
        found = Warned(each, used, today.day_ends_s if each.per == "day" else today.month_ends_s)
        if used >= 1:
            if exceeded is None or found.resets_s > exceeded.resets_s:
                exceeded = found
        elif warned is None or found.used > warned.used:
            warned = found
    if exceeded is not None:
        raise budget_exceeded(exceeded.allowance, exceeded.resets_s, now_s)
    return warned


def budget_exceeded(allowance: Allowance, resets_s: int, now_s: float, why: str = "") -> GatewayError:
    """`why` is an additional sentence."""
    text = f"Budget exceeded for {allowance.scope}: {allowance.amount}. {why}It resets at {timestamp(resets_s)}."
    return GatewayError(Kind.BUDGET_EXCEEDED, text, retry_after_s=max(0.0, resets_s - now_s))


def dollars(micro_dollars: int) -> str:
    """Formats as $1.50, with two digits of cents or more if needed."""
    whole, rest = divmod(micro_dollars, _MICRO)
    digits = f"{rest:06}".rstrip("0")
    return f"${whole}.{digits:0<2}"

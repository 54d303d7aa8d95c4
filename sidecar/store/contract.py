"""The interface of a store for limits and money. There are two: memory shared by the workers of one machine, and
Redis.

    admit     before a call is sent: reserves from every limit and budget, or from none
    settle    at its end: replaces the reservation by the actual usage
    release   if it failed: returns everything
    spent     what was spent of a budget, for pages and metrics
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple, Protocol

from sidecar.domain.snapshot import Budget, Consumer, Limit, Route
from sidecar.limits import Bucket, Level, Reservation, buckets_of
from sidecar.spend.budgets import Allowance, Warned, allowances_of
from sidecar.spend.ledger import Charge


class Rules:
    """The limits and budgets of one consumer on one route. Valid as long as both keep the same ones."""

    __slots__ = ("allowances", "buckets", "consumer", "encoded", "made_of", "route")

    def __init__(self, route: Route, consumer: Consumer) -> None:
        self.made_of = made_of(route, consumer)
        self.route = route.name
        self.consumer = consumer.name
        self.buckets: tuple[Bucket, ...] = buckets_of(route, consumer)
        self.allowances: tuple[Allowance, ...] = allowances_of(route, consumer)
        self.encoded: Any = None  # cached by the store, in its own form


def made_of(
    route: Route, consumer: Consumer
) -> tuple[tuple[Limit, ...], tuple[Budget, ...], tuple[Limit, ...], tuple[Budget, ...]]:
    """What Rules are derived from. Another configuration has different tuples, even if they are equal."""
    return route.limits, route.budgets, consumer.limits, consumer.budgets


class Needs(Protocol):
    """The most a call can use, as far as that is known before it is sent. Computed on access."""

    @property
    def tokens(self) -> int: ...

    @property
    def micro_dollars(self) -> int: ...


class Admitted(NamedTuple):
    """`reservation.refused` is the limit that refused, in which case nothing was taken. `warned` is the budget
    closest to its end, if one is past its soft threshold."""

    reservation: Reservation
    warned: Warned | None


class Store(Protocol):
    """The store of one worker, whose calls run on one event loop."""

    def admit(self, rules: Rules, needs: Needs) -> Admitted | Awaitable[Admitted]:
        """Reserves; returns an awaitable only if another machine has to be asked. Raises budget_exceeded, with the
        time until the budget resets."""
        ...

    def settle(self, rules: Rules, reservation: Reservation, charge: Charge) -> None:
        """The call counts, and used what `charge` says. Updates the levels of the reservation."""
        ...

    def release(self, rules: Rules, reservation: Reservation) -> None:
        """The call failed before it used anything."""
        ...

    def spent(self, allowance: Allowance) -> int:
        """Micro-dollars spent in the budget's current day or month, as far as this machine knows."""
        ...

    async def levels(self, buckets: Sequence[Bucket]) -> list[Level] | None:
        """What is left of each, for somebody who only looks: nothing is taken. None while it cannot be asked."""
        ...

    async def reached(self) -> None:
        """Returns once the store is reachable, or once a start has waited for it long enough."""
        ...

    async def close(self) -> None: ...

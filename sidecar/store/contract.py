"""What a store of limits and money offers. There are two: memory that the workers of a machine share, and Redis.

admit     before a call is sent: takes what it needs of every limit and budget, or nothing of any
settle    when it has ended: what was taken becomes what was used
release   when it has failed: everything goes back
spent     what a budget has left, for pages and metrics
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from sidecar.domain.snapshot import Budget, Consumer, Limit, Route
from sidecar.limits import Bucket, Level, Reservation, buckets_of
from sidecar.spend.budgets import Allowance, Warned, allowances_of
from sidecar.spend.ledger import Charge


class Rules:
    """What holds for one consumer on one route, as long as both have the same limits and budgets."""

    __slots__ = ("allowances", "buckets", "consumer", "encoded", "made_of", "route")

    def __init__(self, route: Route, consumer: Consumer) -> None:
        self.made_of = made_of(route, consumer)
        self.route = route.name
        self.consumer = consumer.name
        self.buckets: tuple[Bucket, ...] = buckets_of(route, consumer)
        self.allowances: tuple[Allowance, ...] = allowances_of(route, consumer)
        self.encoded: Any = None  # what a store makes of them, once


def made_of(
    route: Route, consumer: Consumer
) -> tuple[tuple[Limit, ...], tuple[Budget, ...], tuple[Limit, ...], tuple[Budget, ...]]:
    """What Rules are made of. Another configuration has other tuples, though they may be equal."""
    return route.limits, route.budgets, consumer.limits, consumer.budgets


class Needs(Protocol):
    """What a call will use at most, as far as that is known before it is sent. Worked out when it is read."""

    @property
    def tokens(self) -> int: ...

    @property
    def micro_dollars(self) -> int: ...


class Admitted(NamedTuple):
    """`reservation.refused` names the limit that refused, and then nothing was taken. `warned` is the budget that is nearest to
    its end, if one is past its soft threshold."""

    reservation: Reservation
    warned: Warned | None


class Store(Protocol):
    """For one worker, whose calls are on one loop."""

    def admit(self, rules: Rules, needs: Needs) -> Admitted | Awaitable[Admitted]:
        """At once where no other machine has to be asked. Raises budget_exceeded, with the time until the budget resets."""
        ...

    def settle(self, rules: Rules, reservation: Reservation, charge: Charge) -> None:
        """The call counts, and used as much as `charge` has. Levels of the reservation are as they are then."""
        ...

    def release(self, rules: Rules, reservation: Reservation) -> None:
        """The call failed before it used anything."""
        ...

    def spent(self, allowance: Allowance) -> int:
        """Micro-dollars of the budget's day or month, as far as this machine knows."""
        ...

    async def reached(self) -> None:
        """Returns once it can be asked, or when a start has waited for that long enough."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class ShowsLevels(Protocol):
    """A store that can tell at once what is left of limits, to somebody who only looks."""

    def levels(self, buckets: Sequence[Bucket]) -> list[Level]:
        """In the order of `buckets`. Nothing is taken."""
        ...

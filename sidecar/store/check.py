"""Compares the counters that budgets use with the ledger: recomputes sums from its lines, and reads those of the
store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from sidecar.domain.snapshot import SharedStore
from sidecar.spend.calendar import Today, today_at
from sidecar.spend.ledger import Line, consumer_key, pair_key, route_key
from sidecar.store.connect import Connector
from sidecar.store.line import answer
from sidecar.store.operations import prefix_of, sum_name
from sidecar.store.sums import period_of


class Sum(NamedTuple):
    """Micro-dollars of a day or month."""

    scope: str
    per: Literal["day", "month"]
    counted: int
    in_ledger: int


async def counters(store: SharedStore, lines: Iterable[Line], today: Today) -> list[Sum]:
    """The store's counters of this day and month, with the sums of `lines` of this month. Raises StoreError."""
    prefix = prefix_of(store.installation)
    connected = await Connector(store).connect()
    found = []
    try:
        for (scope, key, per), in_ledger in _sums(lines, today).items():
            text = await answer(connected.line, "GET", prefix + sum_name(key, per).encode())
            if text is not None:
                period, spent, _ = map(int, text.split())
                if period == period_of(per, today):
                    found.append(Sum(scope, per, spent, in_ledger))
    finally:
        connected.line.abort()
    return found


def _sums(lines: Iterable[Line], today: Today) -> Counter[tuple[str, bytes, Literal["day", "month"]]]:
    sums: Counter[tuple[str, bytes, Literal["day", "month"]]] = Counter()
    for line in lines:
        if today_at(line.day * 86_400).month == today.month:
            for scope, key in _scopes(line):
                sums[scope, key, "month"] += line.counts.micro_dollars
                if line.day == today.day:
                    sums[scope, key, "day"] += line.counts.micro_dollars
    return sums


def _scopes(line: Line) -> Iterator[tuple[str, bytes]]:
    yield f'route "{line.route}"', route_key(line.route)
    yield f'consumer "{line.consumer}"', consumer_key(line.consumer)
    yield f'consumer "{line.consumer}" on route "{line.route}"', pair_key(line.route, line.consumer)

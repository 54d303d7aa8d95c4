"""Totals of the archive for people: by day, by route, by consumer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sidecar.domain.gateway_status import Spent
from sidecar.spend.archive import opened

# A page does not show more names; the others are combined in one row.
NAMES_MAX = 200
OTHERS = "(others)"
_SUMS = "SUM(calls), SUM(input_tokens), SUM(output_tokens), SUM(micro_dollars)"


def spent(
    path: Path, first_day: str, by: Literal["day", "route", "consumer"], consumer: str | None = None
) -> tuple[Spent, ...]:
    """Returns the usage since `first_day` (2026-11-01), of one consumer or of all (None): days in order, names by
    cost. Raises sqlite3.Error."""
    order = "name" if by == "day" else "SUM(micro_dollars) DESC, SUM(calls) DESC, name"
    whose = "" if consumer is None else " AND consumer = ?"
    query = f"SELECT {by} AS name, {_SUMS} FROM spend WHERE day >= ?{whose} GROUP BY {by} ORDER BY {order}"
    values = (first_day,) if consumer is None else (first_day, consumer)
    rows = opened(path, lambda connection: [Spent(*row) for row in connection.execute(query, values)])
    return tuple(rows) if by == "day" or len(rows) <= NAMES_MAX else (*rows[:NAMES_MAX], _rest(rows[NAMES_MAX:]))


def _rest(rows: list[Spent]) -> Spent:
    return Spent(
        OTHERS,
        sum(each.calls for each in rows),
        sum(each.input_tokens for each in rows),
        sum(each.output_tokens for each in rows),
        sum(each.micro_dollars for each in rows),
    )

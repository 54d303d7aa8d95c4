"""Days and months in UTC, for the reset of budgets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

DAY_S = 86_400


class Today(NamedTuple):
    """`day` counts from 1970-01-01, `month` from January of year 0. The ends are Unix times."""

    day: int
    month: int
    day_ends_s: int
    month_ends_s: int


class Calendar:
    """Caches the current day."""

    def __init__(self) -> None:
        self._today = today_at(0.0)

    def at(self, now_s: float) -> Today:
        day = int(now_s // DAY_S)
        if day != self._today.day:
            self._today = today_at(now_s)
        return self._today


def today_at(now_s: float) -> Today:
    now = datetime.fromtimestamp(now_s, UTC)
    day = int(now_s // DAY_S)
    next_month = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Today(day, now.year * 12 + now.month - 1, (day + 1) * DAY_S, int(next_month.timestamp()))


def date_of(day: int) -> str:
    """Formats as 2026-11-22."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def day_of(text: str) -> int:
    """The inverse of date_of. Raises ValueError."""
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def first_of_month(today: Today) -> str:
    """As in 2026-11-01."""
    return date_of(today.day)[:8] + "01"


def timestamp(time_s: float) -> str:
    """Formats as 2026-12-01T00:00:00Z."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

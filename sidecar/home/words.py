"""Formats numbers and times for people."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sidecar.home.markup import Html, element

_STEPS = ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k"))


def count(number: int) -> str:
    """For example 9,876 and 12.3k."""
    for step, unit in _STEPS:
        if number >= step:
            return f"{number / (1000 if unit == 'k' else step):.1f}{unit}"
    return f"{number:,}"


def dollars(micro_dollars: int) -> str:
    """For example $12.34; a small sum keeps two significant digits."""
    value = micro_dollars / 1_000_000
    if micro_dollars == 0 or value >= 0.1:
        return f"${value:,.2f}"
    return f"${value:.{min(6, 1 - math.floor(math.log10(value)))}f}"


def duration(seconds: float) -> str:
    """For example 12 s, 5 min, 3 h, 2 days."""
    if seconds < 60:
        return f"{max(0, math.ceil(seconds))} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86_400:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} days"


def moment(time_s: float) -> Html:
    """For example 2026-11-22 14:03 UTC."""
    when = datetime.fromtimestamp(time_s, UTC)
    return element("time", f"{when:%Y-%m-%d %H:%M} UTC", datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}")


def many(number: int, word: str) -> str:
    """For example 1 worker, 2 workers."""
    return f"{number:,} {word}{'s' * (number != 1)}"

"""Bar charts for the terminal: usage by day and by consumer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sidecar.cli.terminal import console, unicode_on

if TYPE_CHECKING:
    from sidecar.spend.ledger import Line

_BAR_WIDTH = 40
_BAR_STYLE = "cyan"
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True, slots=True)
class Row:
    """One bar. `size` determines its length relative to the others."""

    name: str
    size: int
    words: str


def print_chart(lines: Sequence[Line], first_day: int, last_day: int) -> None:
    """Prints all days from `first_day` to `last_day` (since 1970), including those without calls; then consumers,
    the most expensive first."""
    from sidecar.spend.calendar import date_of

    measure, what = _measure(lines)
    days = [
        _row(date_of(day), [line for line in lines if line.day == day], measure)
        for day in range(first_day, last_day + 1)
    ]
    names = dict.fromkeys(line.consumer for line in lines)
    consumers = [_row(name, [line for line in lines if line.consumer == name], measure) for name in names]
    consumers.sort(key=lambda row: -row.size)
    _print_rows(f"{what} per day (UTC)", days)
    _print_rows(f"{what} per consumer", consumers)


def _measure(lines: Iterable[Line]) -> tuple[Callable[[Line], int], str]:
    """Uses money if there is any: models without prices, such as local ones, only have tokens."""
    if any(line.counts.micro_dollars for line in lines):
        return (lambda line: line.counts.micro_dollars), "Dollars"
    return (lambda line: line.counts.input_tokens + line.counts.output_tokens), "Tokens"


def _row(name: str, lines: Sequence[Line], measure: Callable[[Line], int]) -> Row:
    from sidecar.home.words import count, dollars, many

    calls = sum(line.counts.calls for line in lines)
    tokens = sum(line.counts.input_tokens + line.counts.output_tokens for line in lines)
    money = sum(line.counts.micro_dollars for line in lines)
    words = f"{dollars(money)}, {count(tokens)} tokens, {many(calls, 'call')}" if calls else ""
    return Row(name, sum(map(measure, lines)), words)


def _print_rows(title: str, rows: Sequence[Row]) -> None:
    from rich.text import Text

    out = console()
    most = max((row.size for row in rows), default=0)
    width = max((len(row.name) for row in rows), default=0)
    out.print(title, style="bold")
    for row in rows:
        line = Text(f"  {row.name:<{width}}  ")
        line.append(_bar(row.size, most), _BAR_STYLE)
        line.append(f"  {row.words}".rstrip())
        out.print(line)
    out.print()


def _bar(size: int, most: int) -> str:
    """A bar of exactly _BAR_WIDTH characters, so that what follows is aligned. A value above zero is always
    visible."""
    if not most or not size:
        return " " * _BAR_WIDTH
    eighths = max(1, round(size / most * _BAR_WIDTH * 8))
    if not unicode_on(sys.stdout):
        return ("#" * max(1, eighths // 8)).ljust(_BAR_WIDTH)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(_BAR_WIDTH)

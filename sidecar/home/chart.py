"""A bar chart with one bar per day, as SVG. Scale and dates are text next to it, so that they keep their size on
narrow screens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from sidecar.home.markup import Html, element

_WIDTH, _HEIGHT = 600, 120
_GAP = 0.25  # share of a bar's slot
# A day with little usage must not look like one without any.
_LEAST = 1.5


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of a chart: its `values` per day."""

    name: str
    values: Sequence[int]


def chart(title: str, days: Sequence[str], series: Sequence[Series], write: Callable[[int], str], total: str) -> Html:
    """A figure: `days` are consecutive dates (2026-11-22), `series` are stacked, `write` formats a value."""
    sums = [sum(each.values[index] for each in series) for index in range(len(days))]
    most = max(sums, default=0)
    drawing = element(
        "svg",
        *(_day(index, days[index], series, most, len(days), write) for index in range(len(days)) if sums[index]),
        element("line", x1=0, x2=_WIDTH, y1=_HEIGHT, y2=_HEIGHT, class_="axis"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=_summary(title, days, sums, write, total),
    )
    legend = [
        element("span", element("span", class_=f"swatch s{index}"), each.name, class_="key")
        for index, each in enumerate(series)
        if len(series) > 1
    ]
    return element(
        "figure",
        element("figcaption", element("span", title, class_="what"), element("strong", total), *legend),
        element("div", element("span", write(most) if most else "", class_="most"), drawing, class_="plot"),
        element("div", *(element("span", _short(day)) for day in _marks(days)), class_="dates", aria_hidden="true"),
        class_="chart",
    )


def _day(index: int, day: str, series: Sequence[Series], most: int, count: int, write: Callable[[int], str]) -> Html:
    place = _WIDTH / count
    left, width = index * place + place * _GAP / 2, place * (1 - _GAP)
    bars, top = [], float(_HEIGHT)
    for number, each in enumerate(series):
        value = each.values[index]
        if value:
            height = max(_LEAST, value / most * (_HEIGHT - 6))
            top -= height
            bars.append(
                element(
                    "rect",
                    x=f"{left:.1f}",
                    y=f"{top:.1f}",
                    width=f"{width:.1f}",
                    height=f"{height:.1f}",
                    class_=f"s{number}",
                )
            )
    words = ", ".join(f"{each.name} {write(each.values[index])}" for each in series)
    return element("g", element("title", f"{_short(day)}: {words}"), *bars)


def _summary(title: str, days: Sequence[str], sums: Sequence[int], write: Callable[[int], str], total: str) -> str:
    if not any(sums):
        return f"{title}: none in these {len(days)} days."
    top = max(range(len(sums)), key=sums.__getitem__)
    return f"{title} of {len(days)} days: {total} in all, most on {_short(days[top])} with {write(sums[top])}."


def _marks(days: Sequence[str]) -> list[str]:
    return [days[0], days[len(days) // 2], days[-1]] if len(days) > 2 else list(days)


def _short(day: str) -> str:
    """Formats as 22 Nov."""
    found = date.fromisoformat(day)
    return f"{found.day} {found:%b}"

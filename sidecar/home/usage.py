"""What the caller may use and how much is left, and what it has used in the last days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from sidecar.domain.gateway_status import USAGE_DAYS, Spent
from sidecar.home.chart import Series, chart
from sidecar.home.markup import Html, element, joined, named
from sidecar.home.tables import section, table
from sidecar.home.view import Allowed, HomeView
from sidecar.home.words import count, dollars

_NEAR = 0.8  # from this share on, a bar warns


def limits_section(view: HomeView) -> Html:
    if not view.allowed:
        return section("limits", "Your limits", note="There are no limits and no budgets on what you may call.")
    rows = element("ul", *(_allowed(each) for each in view.allowed), class_="limits")
    more = f"{view.allowed_more:,} more are not shown." if view.allowed_more else None
    return section("limits", "Your limits", rows, element("p", more, class_="quiet") if more else None)


def _allowed(each: Allowed) -> Html:
    words = joined(element("strong", each.amount), element("small", named(each.scope)))
    left = joined(element("strong", each.left), element("small", each.resets) if each.resets else None)
    return element(
        "li",
        element("div", words),
        element("div", left, class_="left") if each.left else None,
        None if each.used is None else _bar(each.used),
    )


def _bar(used: float) -> Html:
    share = min(1.0, max(0.0, used))
    kind = "bad" if used >= 1 else "warn" if used >= _NEAR else "good"
    return element(
        "svg",
        element("rect", width=100, height=6, rx=3, class_="track"),
        element("rect", width=f"{100 * share:.1f}", height=6, rx=3, class_="fill") if share else None,
        viewBox="0 0 100 6",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{100 * share:.0f} % used",
        class_=f"bar {kind}",
    )


def usage_section(view: HomeView) -> Html:
    title = f"Your last {USAGE_DAYS} days"
    if not view.known:
        return section("usage", title, note="The gateway's supervisor could not be asked. Reload the page.", wide=True)
    if not view.days:
        return section("usage", title, note="You have called nothing in this time.", wide=True)
    parts = [element("div", *charts(view.days, view.today), class_="charts")]
    if view.by_route:
        parts.append(details("By route", spent_table("Usage by route", "Route", view.by_route)))
        parts.append(details("By day", spent_table("Usage by day", "Day", tuple(reversed(view.days)))))
    return section("usage", title, *parts, wide=True)


def charts(days: Sequence[Spent], today: str) -> list[Html]:
    """Three figures of the last days, the newest on the right."""
    known = {each.name: each for each in days}
    last = date.fromisoformat(today)
    names = [(last - timedelta(days=back)).isoformat() for back in reversed(range(USAGE_DAYS))]
    each_day = [known.get(name, Spent(name)) for name in names]
    calls = [each.calls for each in each_day]
    tokens_in, tokens_out = [each.input_tokens for each in each_day], [each.output_tokens for each in each_day]
    money = [each.micro_dollars for each in each_day]
    token_series = (Series("input", tokens_in), Series("output", tokens_out))
    return [
        chart("Calls", names, (Series("calls", calls),), count, count(sum(calls))),
        chart("Tokens", names, token_series, count, count(sum(tokens_in) + sum(tokens_out))),
        chart("Dollars", names, (Series("spend", money),), dollars, dollars(sum(money))),
    ]


def details(title: str, *content: Html) -> Html:
    return element("details", element("summary", title), *content)


def spent_table(caption: str, what: str, rows: Sequence[Spent]) -> Html:
    """One row per name."""
    titles = (what, "Calls", "Input tokens", "Output tokens", "Dollars")
    cells = [
        (
            named(each.name),
            f"{each.calls:,}",
            f"{each.input_tokens:,}",
            f"{each.output_tokens:,}",
            dollars(each.micro_dollars),
        )
        for each in rows
    ]
    return table(caption, titles, cells, numbers=(1, 2, 3, 4))

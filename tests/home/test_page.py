"""What the page says: numbers, charts, lines to paste."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from sidecar.domain.gateway_status import USAGE_DAYS, Spent
from sidecar.home import HomeView, RouteView, asset, page
from sidecar.home.chart import Series, chart
from sidecar.home.snippets import DOOR_WORDS, DOORS, lines_of
from sidecar.home.usage import charts
from sidecar.home.words import count, dollars, duration

VIEW = HomeView("team", "alice", False, "1.0", known=True, workers=2, today="2026-11-29")


def _text(markup: str) -> str:
    return re.sub("<[^>]*>", "", markup)


def test_a_chart_has_a_bar_for_each_day_with_something_in_it_and_says_the_most() -> None:
    found = chart("Calls", ["2026-11-27", "2026-11-28", "2026-11-29"], (Series("calls", [0, 5, 10]),), str, "15")
    assert found.count("<rect") == 2
    assert 'aria-label="Calls of 3 days: 15 in all, most on 29 Nov with 10."' in found
    heights = [float(each) for each in re.findall(r'height="([0-9.]+)" class="s0"', found)]
    assert heights[1] == pytest.approx(2 * heights[0])


def test_a_day_with_little_in_it_can_be_seen() -> None:
    found = chart("Calls", ["2026-11-28", "2026-11-29"], (Series("calls", [1, 1_000_000]),), str, "")
    assert min(float(each) for each in re.findall(r'height="([0-9.]+)" class="s0"', found)) >= 1


def test_charts_end_today_and_days_without_calls_are_gaps() -> None:
    found = charts((Spent("2026-11-28", 2, 30, 4, 1_500_000), Spent("2026-01-01", 99)), "2026-11-29")
    assert len(found) == 3
    assert "28 Nov: calls 2" in found[0]
    assert "99" not in found[0], "older days are not in it"
    assert "$1.50" in found[2]
    assert _text(found[0]).endswith("31 Oct15 Nov29 Nov")
    assert USAGE_DAYS == 30


def test_nothing_used_says_so_in_words_too() -> None:
    assert "none in these 30 days" in charts((), "2026-11-29")[0]


@pytest.mark.parametrize(
    ("found", "want"),
    [
        (count(9_876), "9,876"),
        (count(12_345), "12.3k"),
        (count(2_000_000), "2.0M"),
        (dollars(0), "$0.00"),
        (dollars(12_340_000), "$12.34"),
        (dollars(78), "$0.000078"),
        (dollars(4_321), "$0.0043"),
        (duration(0.2), "1 s"),
        (duration(600), "10 min"),
        (duration(397 * 86_400), "397 days"),
    ],
)
def test_numbers_as_people_read_them(found: str, want: str) -> None:
    assert found == want


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.task}-{door.key}")
def test_lines_name_the_route_and_never_a_key(door: object) -> None:
    assert door in DOORS
    found = _text(lines_of(door, "my-route", own_ca=True))
    assert "my-route" in found
    assert "SIDECAR_API_KEY" in found
    assert "@" not in found
    assert "«" not in found


def test_every_task_has_its_doors() -> None:
    assert {door.task for door in DOORS} == set(DOOR_WORDS)


def test_a_caller_without_routes_gets_a_page_that_says_so() -> None:
    found = _text(page(VIEW).decode())
    assert "There is no route that you may call." in found
    assert "Send" not in found
    assert "You have called nothing in this time." in found


def test_what_is_for_admins_is_not_on_the_page_of_others() -> None:
    assert "The gateway" not in _text(page(VIEW).decode())


def test_below_a_prefix_every_address_of_the_page_has_it() -> None:
    routes = (RouteView("chat", "chat"),)
    found = page(replace(VIEW, prefix="/team/llm", routes=routes, own_ca=True, routes_more=1)).decode()
    addresses = [each for each in re.findall(r'(?:href|src)="([^"]*)"', found) if not each.startswith(("#", "data:"))]
    assert len(addresses) == 5
    assert all(each.startswith("/team/llm/") for each in addresses), addresses


def test_nothing_on_the_page_is_inline_or_from_another_host() -> None:
    found = page(replace(VIEW, routes=(RouteView("chat", "chat"),))).decode()
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*src=)|\son\w+=", found)
    assert "http:" not in re.sub(r'data-over="https?:"', "", found)
    script, style = asset("home.js"), asset("home.css")
    assert script is not None
    assert style is not None
    assert b"innerHTML" not in script.body
    assert b"url(" not in style.body
    assert asset("../view.py") is None

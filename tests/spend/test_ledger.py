"""What was spent: over days and months, over restarts, and against budgets. Clocks are the test's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters import GatewayError, Kind, Task
from sidecar.domain.snapshot import Budget, Consumer, Route
from sidecar.spend import ledger as ledger_module
from sidecar.spend.archive import Archive, read_since
from sidecar.spend.budgets import Warned, allowances_of, check, dollars
from sidecar.spend.calendar import Calendar, Today, date_of, day_of, timestamp, today_at
from sidecar.spend.ledger import COUNTERS, OTHER, Charge, Ledger, Line, pair_key


def time_s(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOON_S = time_s("2026-11-22T12:00:00")
TODAY = today_at(NOON_S)
DOLLAR = 1_000_000
CALL = Charge(calls=1, input_tokens=100, output_tokens=20, micro_dollars=DOLLAR)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path)
    yield opened
    opened.close()


def route(*budgets: Budget, name: str = "chat") -> Route:
    return Route(name, Task.CHAT, (), budgets=budgets)


def checked(ledger: Ledger, route: Route, consumer: Consumer, now_s: float = NOON_S) -> Warned | None:
    return check(allowances_of(route, consumer), ledger, today_at(now_s), now_s)


def refusal(ledger: Ledger, route: Route, consumer: Consumer, now_s: float = NOON_S) -> GatewayError:
    with pytest.raises(GatewayError) as raised:
        checked(ledger, route, consumer, now_s)
    assert raised.value.kind is Kind.BUDGET_EXCEEDED
    return raised.value


ANNA, BEN = Consumer("anna"), Consumer("ben")


def test_days_and_months_end_at_midnight_utc() -> None:
    assert timestamp(TODAY.day_ends_s) == "2026-11-23T00:00:00Z"
    assert timestamp(TODAY.month_ends_s) == "2026-12-01T00:00:00Z"
    last = today_at(time_s("2026-12-31T23:59:59"))
    assert timestamp(last.day_ends_s) == timestamp(last.month_ends_s) == "2027-01-01T00:00:00Z"
    assert date_of(TODAY.day) == "2026-11-22"
    assert day_of("2026-11-22") == TODAY.day


def test_the_calendar_turns_its_page() -> None:
    calendar = Calendar()
    assert calendar.at(NOON_S) == TODAY
    assert calendar.at(TODAY.day_ends_s - 0.001).day == TODAY.day
    assert calendar.at(TODAY.day_ends_s).day == TODAY.day + 1


def test_a_budget_stops_calls_once_it_is_spent_and_says_until_when(ledger: Ledger) -> None:
    limited = route(Budget(2 * DOLLAR, "day"))
    ledger.add("chat", "anna", CALL, TODAY)
    assert checked(ledger, limited, ANNA) is None
    ledger.add("chat", "ben", CALL, TODAY)
    error = refusal(ledger, limited, ANNA)
    assert error.retry_after_s == 12 * 3600
    assert error.message == 'Budget exceeded for route "chat": $2.00 per day. It resets at 2026-11-23T00:00:00Z.'


def test_the_next_day_begins_at_nothing(ledger: Ledger) -> None:
    limited = route(Budget(DOLLAR, "day"))
    ledger.add("chat", "anna", CALL, TODAY)
    refusal(ledger, limited, ANNA, TODAY.day_ends_s - 1)
    assert checked(ledger, limited, ANNA, TODAY.day_ends_s) is None


def test_a_month_goes_over_its_days_and_ends(ledger: Ledger) -> None:
    limited = route(Budget(2 * DOLLAR, "month"))
    first, last = time_s("2026-11-01T00:00:00"), time_s("2026-11-30T23:59:59")
    for now_s in (first, last):
        ledger.add("chat", "anna", CALL, today_at(now_s))
    assert refusal(ledger, limited, ANNA, last).retry_after_s == 1
    assert checked(ledger, limited, ANNA, last + 1) is None


def test_each_consumer_of_a_route_can_have_a_budget_of_its_own(ledger: Ledger) -> None:
    limited = route(Budget(DOLLAR, "day", each=True))
    ledger.add("chat", "anna", CALL, TODAY)
    assert '"chat" and consumer "anna"' in refusal(ledger, limited, ANNA).message
    assert checked(ledger, limited, BEN) is None


def test_a_consumers_budget_counts_all_its_routes(ledger: Ledger) -> None:
    anna = Consumer("anna", budgets=(Budget(2 * DOLLAR, "month"),))
    ledger.add("a", "anna", CALL, TODAY)
    ledger.add("b", "anna", CALL, TODAY)
    ledger.add("b", "ben", CALL, TODAY)
    refusal(ledger, route(name="c"), anna)
    each = Consumer("anna", budgets=(Budget(2 * DOLLAR, "month", each=True),))
    assert checked(ledger, route(name="b"), each) is None


def test_of_two_spent_budgets_the_later_end_is_named(ledger: Ledger) -> None:
    ledger.add("chat", "anna", CALL, TODAY)
    both = route(Budget(DOLLAR, "month"), Budget(DOLLAR, "day"))
    assert "2026-12-01" in refusal(ledger, both, ANNA).message


def test_from_the_soft_threshold_on_the_fullest_budget_is_told(ledger: Ledger) -> None:
    ledger.add("chat", "anna", Charge(micro_dollars=850_000), TODAY)
    warned = checked(ledger, route(Budget(DOLLAR, "day"), Budget(DOLLAR * 2, "month", soft=0.4)), ANNA)
    assert warned is not None
    assert (warned.used, warned.allowance.per, warned.resets_s) == (0.85, "day", TODAY.day_ends_s)
    assert checked(ledger, route(Budget(DOLLAR, "day", soft=0.9)), ANNA) is None


def test_a_budget_of_nothing_lets_nobody_in(ledger: Ledger) -> None:
    refusal(ledger, route(Budget(0, "day")), ANNA)


def test_the_last_second_of_yesterday_can_still_be_read_after_midnight(ledger: Ledger) -> None:
    tomorrow = today_at(TODAY.day_ends_s)
    ledger.add("chat", "anna", CALL, TODAY)
    ledger.add("chat", "anna", CALL, tomorrow)
    assert set(ledger.lines()) == {
        Line(TODAY.day, "anna", "chat", CALL),
        Line(tomorrow.day, "anna", "chat", CALL),
    }
    after = today_at(TODAY.day_ends_s + 86_400)
    ledger.add("chat", "anna", CALL, after)
    assert {line.day for line in ledger.lines()} == {tomorrow.day, after.day}


def test_what_was_spent_is_there_after_a_restart(tmp_path: Path, ledger: Ledger) -> None:
    yesterday = today_at(NOON_S - 86_400)
    archive = Archive(tmp_path / "spend.sqlite")
    for today in (yesterday, TODAY):
        ledger.add("chat", "anna", CALL, today)
    assert archive.write(ledger.lines()) == 2
    archive.close()
    fresh_folder = tmp_path / "fresh"
    fresh_folder.mkdir()
    fresh, again = Ledger(fresh_folder), Archive(tmp_path / "spend.sqlite")
    again.load(fresh, TODAY)
    key = pair_key("chat", "anna")
    assert fresh.spent(key, "day", TODAY) == DOLLAR
    assert fresh.spent(key, "month", TODAY) == 2 * DOLLAR
    fresh.add("chat", "anna", CALL, TODAY)
    again.write(fresh.lines())
    again.close()
    fresh.close()
    lines = read_since(tmp_path / "spend.sqlite", "2026-01-01")
    assert [(line.day, line.counts.micro_dollars) for line in lines] == [
        (yesterday.day, DOLLAR),
        (TODAY.day, 2 * DOLLAR),
    ]


def test_a_file_of_an_earlier_release_is_read_and_goes_on(tmp_path: Path, ledger: Ledger) -> None:
    path = tmp_path / "spend.sqlite"
    columns = ", ".join(f"{name} INTEGER NOT NULL" for name in COUNTERS[:-1])
    with sqlite3.connect(path) as old:
        old.execute(
            f"CREATE TABLE spend (day TEXT NOT NULL, consumer TEXT NOT NULL, route TEXT NOT NULL, {columns},"
            " PRIMARY KEY (day, consumer, route)) WITHOUT ROWID"
        )
        counts = (1, 100, 20, 0, 0, 0, DOLLAR, 0, 0)
        old.execute(f"INSERT INTO spend VALUES ({', '.join('?' * 12)})", (date_of(TODAY.day), "anna", "chat", *counts))
    old.close()
    before = Line(TODAY.day, "anna", "chat", CALL)
    assert read_since(path, "2026-01-01") == [before]
    archive = Archive(path)
    archive.load(ledger, TODAY)
    ledger.add("chat", "anna", CALL._replace(provider_micro_dollars=7), TODAY)
    archive.write(ledger.lines())
    archive.close()
    (line,) = read_since(path, "2026-01-01")
    assert (line.counts.micro_dollars, line.counts.provider_micro_dollars) == (2 * DOLLAR, 7)


def test_last_month_is_on_the_disk_and_in_no_budget(tmp_path: Path, ledger: Ledger) -> None:
    archive = Archive(tmp_path / "spend.sqlite")
    archive.write([Line(day_of("2026-10-31"), "anna", "chat", CALL)])
    archive.load(ledger, TODAY)
    assert ledger.spent(pair_key("chat", "anna"), "month", TODAY) == 0
    archive.close()


def test_only_what_changed_is_written_again(tmp_path: Path, ledger: Ledger) -> None:
    archive = Archive(tmp_path / "spend.sqlite")
    for name in ("a", "b", "c"):
        ledger.add(name, "anna", CALL, TODAY)
    assert archive.write(ledger.lines()) == 3
    assert archive.write(ledger.lines()) == 0
    ledger.add("b", "anna", CALL, TODAY)
    assert archive.write(ledger.lines()) == 1
    archive.close()


def test_a_flush_that_fails_is_made_up_for_by_the_next(tmp_path: Path, ledger: Ledger) -> None:
    archive = Archive(tmp_path / "spend.sqlite")
    ledger.add("chat", "anna", CALL, TODAY)
    with sqlite3.connect(tmp_path / "spend.sqlite", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            archive.write(ledger.lines())
        other.execute("ROLLBACK")
    other.close()
    assert archive.write(ledger.lines()) == 1
    archive.close()


def test_names_in_any_script_come_back_whole(ledger: Ledger) -> None:
    ledger.add("чат/模型", "änna", CALL, TODAY)
    assert next(ledger.lines()) == Line(TODAY.day, "änna", "чат/模型", CALL)


def test_money_of_names_that_are_too_long_is_not_lost(ledger: Ledger) -> None:
    ledger.add("r" * 700, "anna", CALL, TODAY)
    assert list(ledger.lines()) == [Line(TODAY.day, OTHER, OTHER, CALL)]
    assert checked(ledger, route(Budget(2 * DOLLAR, "day", soft=0.5), name="r" * 700), ANNA) is not None


def test_when_all_rows_are_taken_who_did_not_call_since_yesterday_makes_room(tmp_path: Path) -> None:
    full = Ledger(tmp_path)
    rows = ledger_module._PAIR_ROWS
    earlier = Today(TODAY.day - 2, TODAY.month, 0, 0)
    full.add("old", "anna", CALL, earlier)
    for number in range(rows - 2):
        full.add(str(number), "anna", CALL, TODAY)
    full.add("new", "anna", CALL, TODAY)
    full.add("one too many", "anna", CALL, TODAY)
    found = {line.route for line in full.lines()}
    assert "new" in found
    assert OTHER in found
    assert not {"old", "one too many"} & found
    full.close()


@pytest.mark.parametrize(
    ("micro", "text"),
    [(0, "$0.00"), (1_500_000, "$1.50"), (20_000, "$0.02"), (1_234, "$0.001234"), (10**9, "$1000.00")],
)
def test_money_is_written_without_losing_any(micro: int, text: str) -> None:
    assert dollars(micro) == text

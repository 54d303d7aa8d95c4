"""The supervisor's side: money reaches the disk, a broken file is said in words, and budgets are metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters import Task
from sidecar.domain.snapshot import Budget, Consumer, Limit, Route, Snapshot
from sidecar.limits import LimitStore, buckets_of
from sidecar.spend.archive import read_since
from sidecar.spend.calendar import today_at
from sidecar.spend.ledger import Charge, Ledger
from sidecar.supervisor.metrics import spend_keeper as spend_keeper_module
from sidecar.supervisor.metrics.spend_keeper import SpendKeeper
from sidecar.supervisor.start.start_error import StartError

NOW_S = 1_795_000_000.0
TODAY = today_at(NOW_S)
DOLLAR = 1_000_000


@pytest.fixture
def spend_keeper(tmp_path: Path) -> Iterator[SpendKeeper]:
    opened = SpendKeeper.open(tmp_path, tmp_path / "spend.sqlite", lambda: NOW_S)
    yield opened
    opened.close()


def ratios(spend_keeper: SpendKeeper) -> dict[tuple[str, ...], float]:
    """route, consumer, per -> share."""
    return {
        tuple(sample.labels[name] for name in ("route", "consumer", "per")): sample.value
        for family in spend_keeper.collect()
        for sample in family.samples
    }


def test_what_workers_spent_is_on_the_disk_when_the_gateway_stops(tmp_path: Path) -> None:
    spend_keeper = SpendKeeper.open(tmp_path, tmp_path / "spend.sqlite", lambda: NOW_S)
    worker = Ledger(tmp_path)
    worker.add("chat", "anna", Charge(calls=1, micro_dollars=7), TODAY)
    assert read_since(tmp_path / "spend.sqlite", "2026-01-01") == [], "nothing is written on a call's path"
    spend_keeper.close()
    (line,) = read_since(tmp_path / "spend.sqlite", "2026-01-01")
    assert line.counts.micro_dollars == 7
    assert (tmp_path / "spend.sqlite").stat().st_mode & 0o777 == 0o600
    worker.close()


def test_budgets_of_every_scope_are_a_metric(tmp_path: Path, spend_keeper: SpendKeeper) -> None:
    each = Budget(DOLLAR, "day", each=True)
    route = Route("chat", Task.CHAT, (), budgets=(Budget(4 * DOLLAR, "month"), each))
    anna = Consumer("anna", budgets=(Budget(2 * DOLLAR, "day"),))
    spend_keeper.use(Snapshot({"chat": route}, "0", consumers=(anna, Consumer("ben"))))
    worker = Ledger(tmp_path)
    for name in ("anna", "ben"):
        worker.add("chat", name, Charge(calls=1, micro_dollars=DOLLAR), TODAY)
    worker.close()
    assert ratios(spend_keeper) == {
        ("chat", "", "month"): 0.5,
        ("", "anna", "day"): 0.5,
        ("chat", "anna", "day"): 1.0,
        ("chat", "ben", "day"): 1.0,
    }


def test_there_is_an_end_to_the_series(tmp_path: Path, spend_keeper: SpendKeeper) -> None:
    routes = {str(number): Route(str(number), Task.CHAT, (), budgets=(Budget(1, "day"),)) for number in range(1_500)}
    spend_keeper.use(Snapshot(routes, "0"))
    assert len(ratios(spend_keeper)) == spend_keeper_module.SERIES_MAX


def test_a_dead_workers_places_are_free_again(tmp_path: Path, spend_keeper: SpendKeeper) -> None:
    buckets = buckets_of(Route("chat", Task.CHAT, (), limits=(Limit("concurrent", 1),)), Consumer("anna"))
    worker = LimitStore(tmp_path, 3)
    assert worker.reserve(buckets, 0).refused is None
    assert worker.reserve(buckets, 0).refused is not None
    spend_keeper.forget_worker(3)
    assert worker.reserve(buckets, 0).refused is None
    worker.close()


def test_a_file_that_is_no_database_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "spend.sqlite").write_text("nothing of the kind, and longer than a header of SQLite's is" * 20)
    with pytest.raises(StartError, match=r"spend\.sqlite cannot be used: .*move it away"):
        SpendKeeper.open(tmp_path, tmp_path / "spend.sqlite")

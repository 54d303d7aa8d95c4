"""Buckets in their file: scopes, all or nothing, what a reload keeps, and what a caller is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters import Task
from sidecar.domain.snapshot import Consumer, Limit, Route
from sidecar.limits import Bucket, LimitStore, Reservation, buckets_of
from sidecar.limits.gcra import NS
from sidecar.limits.table import KEY_BYTES, Table, key_of


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**12

    def __call__(self) -> int:
        return self.now_ns

    def passes(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LimitStore]:
    opened = LimitStore(tmp_path, 0, clock)
    yield opened
    opened.close()


def route(*limits: Limit, name: str = "chat") -> Route:
    return Route(name, Task.CHAT, (), limits=limits)


def consumer(*limits: Limit, name: str = "anna") -> Consumer:
    return Consumer(name, limits=limits)


def let_in(store: LimitStore, buckets: tuple[Bucket, ...], calls: int = 20, tokens: int = 1) -> int:
    return sum(store.reserve(buckets, tokens).refused is None for _ in range(calls))


def remaining(reservation: Reservation) -> list[int]:
    return [level.remaining for level in reservation.levels]


def test_a_route_has_one_bucket_for_all_its_consumers(store: LimitStore) -> None:
    limited = route(Limit("requests", 5, 60))
    assert let_in(store, buckets_of(limited, consumer(name="anna"))) == 5
    assert let_in(store, buckets_of(limited, consumer(name="ben"))) == 0


def test_each_gives_every_consumer_of_the_route_a_bucket(store: LimitStore) -> None:
    limited = route(Limit("requests", 5, 60, each=True))
    assert let_in(store, buckets_of(limited, consumer(name="anna"))) == 5
    assert let_in(store, buckets_of(limited, consumer(name="ben"))) == 5


def test_a_consumer_has_one_bucket_for_all_its_routes(store: LimitStore) -> None:
    limited = consumer(Limit("requests", 5, 60))
    assert let_in(store, buckets_of(route(name="a"), limited)) == 5
    assert let_in(store, buckets_of(route(name="b"), limited)) == 0


def test_names_that_read_the_same_when_joined_are_different_scopes(store: LimitStore) -> None:
    each = Limit("requests", 1, 60, each=True)
    assert let_in(store, buckets_of(route(each, name="ab"), consumer(name="c"))) == 1
    assert let_in(store, buckets_of(route(each, name="a"), consumer(name="bc"))) == 1


def test_two_limits_on_the_same_scope_are_the_stricter_one(store: LimitStore) -> None:
    both = buckets_of(route(Limit("requests", 7, 60, each=True)), consumer(Limit("requests", 3, 60, each=True)))
    assert let_in(store, both) == 3
    again = buckets_of(route(Limit("requests", 3, 3600), Limit("requests", 7, 3600)), consumer())
    assert let_in(store, again) == 3


def test_the_third_refusal_takes_nothing_from_the_first_two(store: LimitStore) -> None:
    limited = route(Limit("requests", 9, 60), Limit("tokens", 1000, 60))
    narrow = consumer(Limit("concurrent", 1))
    first = store.reserve(buckets_of(limited, narrow), 100)
    assert remaining(first) == [8, 900, 0]
    refused = store.reserve(buckets_of(limited, narrow), 100)
    assert refused.refused is not None
    assert refused.refused.bucket.unit == "concurrent"
    assert remaining(refused) == [8, 900, 0]
    assert remaining(store.reserve(buckets_of(limited, consumer(name="ben")), 100)) == [7, 800]


def test_a_refusal_names_the_longest_wait_of_all(store: LimitStore, clock: Clock) -> None:
    buckets = buckets_of(route(Limit("requests", 1, 10), Limit("requests", 1, 60)), consumer())
    assert let_in(store, buckets, 1) == 1
    refused = store.reserve(buckets, 0).refused
    assert refused is not None
    assert refused.retry_after_ns == 60 * NS
    clock.passes(59.999)
    assert store.reserve(buckets, 0).refused is not None
    clock.passes(0.001)
    assert store.reserve(buckets, 0).refused is None


def test_tokens_are_settled_to_what_was_used(store: LimitStore) -> None:
    buckets = buckets_of(route(Limit("requests", 10, 60), Limit("tokens", 1000, 60)), consumer())
    calls = [store.reserve(buckets, 400) for _ in range(2)]
    store.settle(calls[0], kept=True, tokens=100)
    assert remaining(calls[0]) == [8, 500]
    store.settle(calls[1], kept=True, tokens=900)
    assert remaining(calls[1]) == [8, 0]


def test_a_failed_call_gives_everything_back(store: LimitStore) -> None:
    buckets = buckets_of(route(Limit("requests", 2, 60), Limit("tokens", 1000, 60), Limit("concurrent", 1)), consumer())
    for _ in range(5):
        reservation = store.reserve(buckets, 1000)
        assert reservation.refused is None
        store.settle(reservation, kept=False, tokens=0)
    assert remaining(reservation) == [2, 1000, 0]


def test_a_limit_with_another_count_goes_on_with_what_was_used(store: LimitStore) -> None:
    """Of 10, 5 were used: half of the window. Of 4 then, 2 are left."""
    assert let_in(store, buckets_of(route(Limit("requests", 10, 60)), consumer()), 5) == 5
    assert let_in(store, buckets_of(route(Limit("requests", 4, 60)), consumer())) == 2


def test_a_limit_that_is_added_or_taken_away_leaves_the_others_alone(store: LimitStore) -> None:
    kept = Limit("requests", 5, 60)
    assert let_in(store, buckets_of(route(kept), consumer()), 3) == 3
    more = (Limit("tokens", 100, 60), kept, Limit("requests", 50, 3600))
    assert let_in(store, buckets_of(route(*more), consumer()), 1) == 1
    assert let_in(store, buckets_of(route(kept), consumer())) == 1


def test_another_worker_that_opens_the_file_finds_what_was_used(
    tmp_path: Path, store: LimitStore, clock: Clock
) -> None:
    buckets = buckets_of(route(Limit("requests", 5, 60)), consumer())
    assert let_in(store, buckets, 3) == 3
    later = LimitStore(tmp_path, 1, clock)
    assert let_in(later, buckets) == 2
    later.close()


def test_when_all_rows_are_taken_the_bucket_that_is_nearest_to_empty_makes_room(
    store: LimitStore, clock: Clock
) -> None:
    def bucket(number: int) -> tuple[Bucket, ...]:
        return buckets_of(route(Limit("requests", 2, 60), name=str(number)), consumer())

    assert let_in(store, bucket(0), 1) == 1  # the oldest
    clock.passes(5)
    rows = store._rates.rows
    for number in range(1, rows):
        store.reserve(bucket(number), 0)
    assert let_in(store, bucket(rows)) == 2
    assert let_in(store, bucket(1)) == 1, "one of two was used before"


def test_a_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    Table(tmp_path / "table", rows=4, width=1).close()
    with pytest.raises(ValueError, match="not a table"):
        Table(tmp_path / "table", rows=2, width=3)


def test_a_row_given_to_another_key_is_not_found_by_who_remembers_it(tmp_path: Path) -> None:
    mine, theirs = (Table(tmp_path / "table", rows=1, width=1) for _ in range(2))
    assert mine.claim(key_of("a")) == 0
    theirs.give(0, key_of("b"))
    assert mine.find(key_of("a")) is None
    assert mine.claim(key_of("a")) is None
    assert len(key_of("a")) == KEY_BYTES
    mine.close()
    theirs.close()


@pytest.mark.parametrize("limit", [Limit("requests", 0, 60), Limit("tokens", 0, 60), Limit("concurrent", 0)])
def test_a_limit_of_0_lets_nothing_through(store: LimitStore, limit: Limit) -> None:
    buckets = buckets_of(route(limit), consumer())
    assert let_in(store, buckets) == 0
    assert [level.remaining for level in store.levels(buckets)] == [0]


def test_looking_at_levels_takes_nothing(store: LimitStore, clock: Clock) -> None:
    buckets = buckets_of(route(Limit("requests", 5, 60), Limit("concurrent", 3)), consumer())
    assert [level.remaining for level in store.levels(buckets)] == [5, 3]
    store.reserve(buckets, 0)
    assert [level.remaining for level in store.levels(buckets)] == [4, 2]
    assert [level.remaining for level in store.levels(buckets)] == [4, 2]
    clock.now_ns += 60 * NS
    assert [level.remaining for level in store.levels(buckets)] == [5, 2]

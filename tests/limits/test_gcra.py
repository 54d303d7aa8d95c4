"""The arithmetic of a bucket, for any history: what gets in, what is given back, and how it says when to come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.limits.gcra import NS, Rate, rate_of, settle, take

COUNTS = st.integers(1, 1_000_000)
PERIODS_S = st.sampled_from([1, 7, 60, 3600, 86_400, 5 * 360 * 86_400])
RATES = st.builds(rate_of, COUNTS, PERIODS_S)
NOW_NS = 10**15
STATES_NS = st.integers(0, 2**62)
COSTS = st.integers(0, 2**40)


class History:
    """Calls at one bucket: each waits, reserves, and may later settle to the truth. Keeps what got in, and when."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.now_ns = NOW_NS
        self.tat_ns = 0
        self.let_in: list[tuple[int, int]] = []  # when, units

    def call(self, wait_ns: int, cost: int) -> bool:
        self.now_ns += wait_ns
        taken = take(self.tat_ns, self.now_ns, cost, self.rate)
        self.tat_ns = taken.tat_ns
        if taken.allowed:
            self.let_in.append((self.now_ns, taken.cost))
        return taken.allowed

    def most_in_any_window(self, window_ns: int) -> int:
        return max(
            (
                sum(units for when, units in self.let_in if start <= when < start + window_ns)
                for start, _ in self.let_in
            ),
            default=0,
        )


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 2 * NS), st.integers(0, 25)), max_size=60))
def test_a_window_never_lets_in_more_than_the_count_and_what_drains_meanwhile(
    count: int, calls: list[tuple[int, int]]
) -> None:
    rate = rate_of(count, 5)
    history = History(rate)
    for wait_ns, cost in calls:
        history.call(wait_ns, cost)
    for window_ns in (1, NS, 5 * NS, 17 * NS):
        assert history.most_in_any_window(window_ns) <= count + window_ns // rate.interval_ns + 1


def test_that_bound_finds_a_bucket_that_forgets() -> None:
    """The positive control: the same calls, but the state is lost each time."""
    rate = rate_of(5, 5)
    history = History(rate)
    for _ in range(50):
        history.call(1, 1)
        history.tat_ns = 0
    assert history.most_in_any_window(NS) > 5 + NS // rate.interval_ns + 1


@given(COUNTS, PERIODS_S)
def test_an_empty_bucket_lets_in_exactly_its_count(count: int, per_s: int) -> None:
    rate = rate_of(count, per_s)
    filled = take(0, NOW_NS, count, rate)
    assert filled.allowed
    assert (filled.cost, filled.remaining) == (count, 0)
    assert not take(filled.tat_ns, NOW_NS, 1, rate).allowed
    assert take(0, NOW_NS, count - 1, rate).remaining == 1


@given(COUNTS, PERIODS_S)
def test_no_more_gets_in_than_configured_and_hardly_less(count: int, per_s: int) -> None:
    rate = rate_of(count, per_s)
    assert per_s * NS <= rate.window_ns < per_s * NS + count


@given(RATES, STATES_NS, COSTS)
def test_retry_after_is_true(rate: Rate, tat_ns: int, cost: int) -> None:
    """At that time the same call gets in; a nanosecond before it would not."""
    taken = take(tat_ns, NOW_NS, cost, rate)
    if taken.allowed:
        assert taken.retry_after_ns == 0
        return
    assert not take(taken.tat_ns, NOW_NS + taken.retry_after_ns - 1, cost, rate).allowed
    assert take(taken.tat_ns, NOW_NS + taken.retry_after_ns, cost, rate).allowed


@given(RATES, STATES_NS, COSTS)
def test_after_reset_the_whole_count_is_there(rate: Rate, tat_ns: int, cost: int) -> None:
    taken = take(tat_ns, NOW_NS, cost, rate)
    assert take(taken.tat_ns, NOW_NS + taken.reset_ns, rate.units, rate).allowed


@given(RATES, STATES_NS, COSTS)
def test_a_refusal_changes_nothing_for_the_others(rate: Rate, tat_ns: int, cost: int) -> None:
    taken = take(tat_ns, NOW_NS, cost, rate)
    if not taken.allowed:
        for other in (0, 1, rate.units):
            again, before = take(taken.tat_ns, NOW_NS, other, rate), take(tat_ns, NOW_NS, other, rate)
            assert again == before


@given(RATES, st.integers(1, 1_000_000), st.data())
def test_what_is_given_back_is_exactly_what_was_taken(rate: Rate, cost: int, data: st.DataObject) -> None:
    other = data.draw(st.integers(0, rate.units))
    before = take(0, NOW_NS, other, rate).tat_ns
    taken = take(before, NOW_NS, cost, rate)
    if taken.allowed:
        assert settle(taken.tat_ns, -taken.cost, rate) == before


@given(RATES, st.integers(1, 1_000_000), st.integers(0, 3_000_000))
def test_a_settled_bucket_is_as_if_the_truth_had_been_known_before(rate: Rate, reserved: int, truth: int) -> None:
    taken = take(0, NOW_NS, reserved, rate)
    assert settle(taken.tat_ns, truth - taken.cost, rate) == NOW_NS + truth * rate.interval_ns


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, NS), st.integers(1, 20), st.integers(0, 60)), max_size=40))
def test_over_all_time_what_was_really_used_stays_within_the_limit(
    count: int, calls: list[tuple[int, int, int]]
) -> None:
    """Estimates may be wrong by any factor: calls after one that took more wait until that has drained."""
    rate = rate_of(count, 5)
    tat_ns, now_ns, used, last = 0, NOW_NS, 0, 0
    for wait_ns, reserved, truth in calls:
        now_ns += wait_ns
        taken = take(tat_ns, now_ns, reserved, rate)
        tat_ns = taken.tat_ns
        if taken.allowed:
            last = truth
            used += truth
            tat_ns = settle(tat_ns, truth - taken.cost, rate)
    assert used <= count + (now_ns - NOW_NS) // rate.interval_ns + last + 1


@given(RATES, COSTS)
def test_a_cost_above_the_whole_count_gets_in_when_the_bucket_is_empty(rate: Rate, more: int) -> None:
    cost = rate.units + more
    taken = take(0, NOW_NS, cost, rate)
    assert taken.allowed
    assert taken.cost == rate.units
    refused = take(take(0, NOW_NS, 1, rate).tat_ns, NOW_NS, cost, rate)
    assert not refused.allowed
    assert refused.retry_after_ns == rate.interval_ns


@given(RATES, STATES_NS)
def test_no_state_locks_a_bucket_for_more_than_eleven_windows(rate: Rate, tat_ns: int) -> None:
    """An absurd usage figure, or a clock that jumped back."""
    taken = take(tat_ns, NOW_NS, 1, rate)
    assert taken.retry_after_ns <= 11 * rate.window_ns


@given(RATES, STATES_NS, COSTS, st.integers(0, 2**61))
def test_a_clock_that_jumps_ahead_only_lets_more_in(rate: Rate, tat_ns: int, cost: int, jump_ns: int) -> None:
    if take(tat_ns, NOW_NS, cost, rate).allowed:
        assert take(tat_ns, NOW_NS + jump_ns, cost, rate).allowed


@pytest.mark.parametrize(
    ("count", "per_s", "worst"), [(1_000_000, 1, 0.001), (1_000_000_000, 60, 0.02), (10, 86_400, 1e-12)]
)
def test_whole_nanoseconds_make_a_limit_stricter_by_as_much_as_the_docs_say(
    count: int, per_s: int, worst: float
) -> None:
    assert rate_of(count, per_s).window_ns / (per_s * NS) - 1 <= worst

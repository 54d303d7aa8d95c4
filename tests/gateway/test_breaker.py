"""The circuit of an upstream, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import GatewayError, Kind
from sidecar.domain.snapshot import Breaker
from sidecar.gateway.breaker import Circuit, Reason, State

SETTINGS = Breaker(consecutive_failures=5, error_ratio=0.5, calls_min=20, window_s=30.0, open_s=10.0)
DOWN = Kind.UPSTREAM_UNAVAILABLE
# Nothing about the upstream follows from these.
HARMLESS = (Kind.INVALID_REQUEST, Kind.CONTEXT_LENGTH_EXCEEDED, Kind.CONTENT_FILTERED, Kind.REQUEST_TOO_LARGE)


def error(kind: Kind, retry_after_s: float | None = None) -> GatewayError:
    return GatewayError(kind, "no", retry_after_s=retry_after_s)


def fail(circuit: Circuit, now_s: float, kind: Kind = DOWN, retry_after_s: float | None = None) -> Reason | None:
    probe = circuit.begins(now_s)
    return circuit.failed(now_s, error(kind, retry_after_s), probe=probe)


def succeed(circuit: Circuit, now_s: float) -> None:
    circuit.succeeded(now_s, probe=circuit.begins(now_s))


def opened(at_s: float = 0.0) -> Circuit:
    circuit = Circuit(SETTINGS)
    for _ in range(4):
        assert fail(circuit, at_s) is None
    assert fail(circuit, at_s) is Reason.CONSECUTIVE
    return circuit


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    circuit = Circuit(SETTINGS)
    for _ in range(4):
        fail(circuit, 0.0)
    succeed(circuit, 0.0)
    for _ in range(4):
        assert fail(circuit, 0.0) is None
    assert fail(circuit, 0.0) is Reason.CONSECUTIVE
    assert circuit.state is State.OPEN


def test_every_other_call_failing_opens_it_once_there_were_enough_calls() -> None:
    circuit = Circuit(SETTINGS)
    reasons = []
    for number in range(20):
        if number % 2:
            reasons.append(fail(circuit, number * 0.1))
        else:
            succeed(circuit, number * 0.1)
    assert reasons == [None] * 9 + [Reason.RATIO]


def test_failures_that_the_window_has_left_do_not_count() -> None:
    circuit = Circuit(SETTINGS)
    for number in range(400):
        now_s = number * 4.0  # 7 or 8 calls a window, of which half fail
        if number % 2:
            assert fail(circuit, now_s) is None
        else:
            succeed(circuit, now_s)


def test_an_open_circuit_is_probed_by_one_call_after_its_time() -> None:
    circuit = opened()
    assert not circuit.admits(9.9)
    assert circuit.admits(10.0)
    assert circuit.begins(10.0)
    assert not circuit.admits(1000.0), "one probe at a time"
    circuit.succeeded(10.5, probe=True)
    assert circuit.admits(10.5)
    assert fail(circuit, 11.0) is None, "and it starts anew"


def test_a_failed_probe_opens_it_for_the_same_time_again() -> None:
    circuit = opened()
    assert fail(circuit, 12.0) is Reason.PROBE
    assert not circuit.admits(21.9)
    assert circuit.admits(22.0)


def test_a_probe_whose_caller_left_leaves_the_next_call_to_probe() -> None:
    circuit = opened()
    assert circuit.begins(10.0)
    circuit.abandoned(probe=True)
    assert circuit.admits(10.0)


def test_a_long_stream_that_probes_closes_it_with_its_first_output() -> None:
    circuit = opened()
    assert circuit.begins(10.0)
    circuit.answered(probe=True)
    assert circuit.admits(10.0)
    assert circuit.failed(300.0, error(Kind.UPSTREAM_INTERRUPTED), probe=True) is None, "one failure of many calls"


def test_a_call_from_before_that_succeeds_does_not_close_it() -> None:
    circuit = Circuit(SETTINGS)
    early = circuit.begins(0.0)
    assert fail(circuit, 0.0, Kind.RATE_LIMITED, 5.0) is Reason.RATE_LIMITED
    circuit.succeeded(1.0, probe=early)
    assert not circuit.admits(4.9)


def test_the_provider_names_how_long() -> None:
    circuit = Circuit(SETTINGS)
    assert fail(circuit, 0.0, Kind.RATE_LIMITED, 33.0) is Reason.RATE_LIMITED
    assert not circuit.admits(32.9)
    assert circuit.admits(33.0)
    assert fail(Circuit(SETTINGS), 0.0, Kind.RATE_LIMITED) is None, "without a time it is a failure like others"


def test_a_provider_that_names_a_day_is_asked_again_sooner() -> None:
    circuit = Circuit(SETTINGS)
    fail(circuit, 0.0, Kind.RATE_LIMITED, 86_400.0)
    assert circuit.admits(600.0)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Kind.UPSTREAM_REJECTED_CREDENTIALS, Reason.CREDENTIALS), (Kind.QUOTA_EXHAUSTED, Reason.QUOTA)],
)
def test_what_only_an_operator_can_mend_opens_it_at_once(kind: Kind, reason: Reason) -> None:
    circuit = Circuit(SETTINGS)
    assert fail(circuit, 0.0, kind) is reason
    assert not circuit.admits(9.9)


@pytest.mark.parametrize("kind", HARMLESS)
def test_a_request_that_is_at_fault_says_that_the_upstream_is_well(kind: Kind) -> None:
    circuit = opened()
    assert fail(circuit, 10.0, kind) is None
    assert circuit.state is State.CLOSED
    for _ in range(100):
        assert fail(circuit, 11.0, kind) is None


ACTIONS = (
    *("begin", "begin", "begin", "succeed", "abandon", DOWN, DOWN),
    *(Kind.RATE_LIMITED, Kind.INVALID_REQUEST, Kind.UPSTREAM_REJECTED_CREDENTIALS),
)


@dataclass
class Play:
    """A random history: calls begin, end one way or another, time passes."""

    circuit: Circuit = field(default_factory=lambda: Circuit(SETTINGS))
    now_s: float = 0.0
    under_way: list[bool] = field(default_factory=list)  # whether each is the probe

    def step(self, action: str, pick: int, passed_s: float) -> None:
        self.now_s += passed_s
        circuit, before = self.circuit, self.circuit.state
        if action == "begin":
            admitted = circuit.admits(self.now_s)
            probe = circuit.begins(self.now_s)
            assert probe is (admitted and before is not State.CLOSED)
            self.under_way.append(probe)
            return
        if not self.under_way:
            return
        probe = self.under_way.pop(pick % len(self.under_way))
        match action:
            case "succeed":
                circuit.succeeded(self.now_s, probe=probe)
                assert before is not State.OPEN or circuit.state is State.OPEN, "only a probe closes it"
            case "abandon":
                circuit.abandoned(probe=probe)
            case kind:
                reason = circuit.failed(self.now_s, error(Kind(kind), 7.0), probe=probe)
                assert (reason is not None) is (before is not State.OPEN and circuit.state is State.OPEN)
                if kind in HARMLESS:
                    assert reason is None


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(ACTIONS),
            st.integers(0, 50),
            st.floats(0.0, 20.0),
        ),
        max_size=80,
    )
)
def test_whatever_happens_it_never_stays_shut_and_never_lets_two_probes_in(steps: list[tuple[str, int, float]]) -> None:
    play = Play()
    for step in steps:
        play.step(*step)
        assert play.circuit.state is not State.HALF_OPEN or not play.circuit.admits(play.now_s)
    for probe in play.under_way:
        play.circuit.abandoned(probe=probe)
    assert play.circuit.admits(play.now_s + 600.0)
    probe = play.circuit.begins(play.now_s + 600.0)
    play.circuit.succeeded(play.now_s + 600.0, probe=probe)
    assert play.circuit.state is State.CLOSED

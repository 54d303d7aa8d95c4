"""Every query of every panel, asked of a real Prometheus after traffic whose numbers the test knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest

from tests.operations.traffic import FIRST_MS, HELD, ROUNDS, Gateway, Key, Seen
from tests.processes import wait_until
from tools.dashboards import DASHBOARDS
from tools.grafana import Panel

pytestmark = [pytest.mark.slow, pytest.mark.needs("prometheus"), pytest.mark.timeout(300)]

# Prometheus extrapolates by up to a scrape interval at either end of a window of some seconds.
CLOSE = 0.15


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Warm up so that every series exists, wait until it is scraped, then the rounds, then the last scrapes."""
    with ExitStack() as exits:
        gateway = Gateway(exits, tmp_path_factory)
        gateway.round()
        gateway.refuse_a_large_body()
        gateway.miss_a_worker()
        _scraped(gateway)
        before = len(gateway.came)
        began_s = time.time()
        for _ in range(ROUNDS):
            gateway.round()
        gateway.refuse_a_large_body()
        held = gateway.hold()
        attempts = tuple(key for key in gateway.came[before:] if not key[1].startswith("sim:gate"))
        gateway.wait_until_archived()
        _scraped(gateway)
        at_s = time.time()
        yield Seen(gateway, at_s - began_s, at_s, attempts)
        gateway.provider.gate("held").open()
        for thread in held:
            thread.join(30)


def _scraped(gateway: Gateway) -> None:
    """Returns once Prometheus has seen what the page says now, and the same again: the window's edge is quiet."""
    for _ in range(3):
        last_s = gateway.prometheus.value("timestamp(sidecar_workers_up)")
        wait_until(lambda: gateway.prometheus.value("timestamp(sidecar_workers_up)") > last_s, 30)  # noqa: B023


def _is(**expected: float) -> Check:
    """A gauge."""

    def check(seen: Seen, found: dict[Key, float]) -> None:
        assert found == {(): pytest.approx(expected["value"])}

    return check


def _rates(expected: Callable[[Seen], Mapping[Key, float]]) -> Check:
    """Counts over the window; series without a call in it are 0 or absent."""

    def check(seen: Seen, found: dict[Key, float]) -> None:
        counts = {key: value * seen.window_s for key, value in found.items() if value > 0}
        assert counts == {key: pytest.approx(n, rel=CLOSE) for key, n in expected(seen).items() if n}

    return check


def _between(low: float, high: float, *keys: Key) -> Check:
    """A quantile or a gauge that lies between two bounds, for these label values."""

    def check(seen: Seen, found: dict[Key, float]) -> None:
        for key in keys or ((),):
            assert low < found[key] <= high, (key, found)

    return check


# Kinds of calls of a round by the outcome they end with.
_OUTCOMES: Mapping[Key, float] = {
    ("ok",): 5 * ROUNDS,
    ("route_not_found",): ROUNDS,
    ("rate_limited",): ROUNDS,
    ("upstream_unavailable",): ROUNDS,
    ("upstream_rejected_credentials",): ROUNDS,
}
_CALLS = sum(_OUTCOMES.values())
_BY_ROUTE: Mapping[Key, float] = {
    **{(name,): ROUNDS for name in ("slow", "unknown", "limited", "second", "priced")},
    **{(name,): 2 * ROUNDS for name in ("chat", "claude")},
}
_SLOW = (FIRST_MS / 1000 * 0.8, 0.5)


def _fell_back(seen: Seen) -> Mapping[Key, float]:
    return {("upstream_unavailable", "second"): seen.came("anthropic", model="first-choice")}


def _tried_again(seen: Seen) -> Mapping[Key, float]:
    return {("upstream_unavailable", "claude"): seen.came("anthropic", "503", "sim-chat") - ROUNDS}


def _tokens(seen: Seen, *by: int) -> Mapping[Key, float]:
    """Places: 0 kind, 1 route, 2 consumer."""
    found: dict[Key, float] = {}
    for (route_name, consumer), counts in seen.gateway.usage.items():
        for kind, count in zip(("input", "output"), counts, strict=True):
            whole = (kind, route_name, consumer)
            key = tuple(whole[place] for place in by)
            found[key] = found.get(key, 0) + count * ROUNDS
    return found


def _micro_dollars(seen: Seen) -> int:
    """Of one call of route "priced"."""
    tokens_in, tokens_out = seen.gateway.usage["priced", seen.gateway.user]
    return tokens_in + 2 * tokens_out


def _dollars_an_hour(seen: Seen) -> float:
    """As `_rates` wants it: over the window."""
    return _micro_dollars(seen) * ROUNDS * 3600 / 1e6


def _budget(seen: Seen, found: dict[Key, float]) -> None:
    """Written by the supervisor once a second; the round of the warming up is in it too."""
    assert list(found.values()) == [pytest.approx(_micro_dollars(seen) * (ROUNDS + 1) / 1e6)]


def _attempts(seen: Seen) -> Mapping[Key, float]:
    return {(kind,): seen.came(kind) for kind in ("anthropic", "openai-compatible")}


def _attempts_by_outcome(seen: Seen) -> Mapping[Key, float]:
    return {
        ("ok", "openai-compatible"): seen.came("openai-compatible"),
        ("upstream_unavailable", "anthropic"): seen.came("anthropic", "503"),
        ("upstream_rejected_credentials", "anthropic"): seen.came("anthropic", "401"),
    }


Check = Callable[[Seen, dict[Key, float]], None]
OVERVIEW, ROUTES, PROVIDERS, FRONTS, STORE = (dashboard.uid for dashboard in DASHBOARDS)
# (dashboard, panel, legend) -> what its query answers. Labels are in the order of their names.
EXPECTED: dict[tuple[str, str, str], Check] = {
    (OVERVIEW, "Calls", "calls"): _rates(lambda seen: {(): _CALLS}),
    (OVERVIEW, "Failed", "failed"): _between(0.9 * 2 * ROUNDS / _CALLS, 1.1 * 2 * ROUNDS / _CALLS),
    (OVERVIEW, "Under way", "calls"): _is(value=HELD),
    (OVERVIEW, "Workers", "workers"): _is(value=2),
    (OVERVIEW, "Calls by outcome", "{{outcome}}"): _rates(lambda seen: _OUTCOMES),
    (OVERVIEW, "Time to the last byte", "p50"): _between(0, 0.5),
    (OVERVIEW, "Time to the last byte", "p95"): _between(0.2, 20),
    (OVERVIEW, "Time to the last byte", "p99"): _between(0.2, 20),
    (OVERVIEW, "Time to the first token", "p50"): _between(*_SLOW),
    (OVERVIEW, "Time to the first token", "p95"): _between(*_SLOW),
    (OVERVIEW, "What the gateway itself adds", "p50"): _between(0, 0.1),
    (OVERVIEW, "What the gateway itself adds", "p99"): _between(0, 5),
    (OVERVIEW, "Tokens", "{{kind}}"): _rates(lambda seen: _tokens(seen, 0)),
    (ROUTES, "Calls by route", "{{route}}"): _rates(lambda seen: _BY_ROUTE),
    (ROUTES, "Calls by consumer", "{{consumer}}"): _rates(
        lambda seen: {("local",): ROUNDS, (seen.gateway.user,): _CALLS - ROUNDS}
    ),
    (ROUTES, "Failed by route", "{{route}}"): _between(0.99, 1.01, ("claude",)),
    (ROUTES, "Turned away by a limit or a budget", "{{route}} {{consumer}}"): _rates(
        lambda seen: {(seen.gateway.user, "limited"): ROUNDS}
    ),
    (ROUTES, "Time to the last byte, p95", "{{route}}"): _between(*_SLOW, ("slow",)),
    (ROUTES, "Time to the first token, p95", "{{route}}"): _between(*_SLOW, ("slow",)),
    (ROUTES, "Under way", "{{route}}"): _between(HELD - 0.1, HELD, ("held",)),
    (ROUTES, "Tokens by consumer", "{{consumer}}"): _rates(lambda seen: _tokens(seen, 2)),
    (ROUTES, "Tokens by route", "{{route}} {{kind}}"): _rates(lambda seen: _tokens(seen, 0, 1)),
    (ROUTES, "Money by consumer, dollars an hour", "{{consumer}}"): _rates(
        lambda seen: {(seen.gateway.user,): _dollars_an_hour(seen)}
    ),
    (ROUTES, "Money by route, dollars an hour", "{{route}}"): _rates(
        lambda seen: {("priced",): _dollars_an_hour(seen)}
    ),
    (ROUTES, "Budgets", "{{route}} {{consumer}} a {{per}}"): _budget,
    (ROUTES, "Tokens without a price", "{{route}}"): _rates(
        lambda seen: {(name,): n for ((name,), n) in _tokens(seen, 1).items() if name != "priced"}
    ),
    (ROUTES, "Refused by our limits", "{{route}} {{unit}}"): _rates(lambda seen: {("limited", "requests"): ROUNDS}),
    (PROVIDERS, "Attempts", "{{provider}}"): _rates(_attempts),
    (PROVIDERS, "Attempts by outcome", "{{provider}} {{outcome}}"): _rates(_attempts_by_outcome),
    (PROVIDERS, "Failed attempts", "{{provider}}"): _between(0.99, 1.01, ("anthropic",)),
    (PROVIDERS, "Keys that are rejected", "{{provider}}"): _rates(
        lambda seen: {("anthropic",): seen.came("anthropic", "401")}
    ),
    (PROVIDERS, "Retries", "{{route}} {{reason}}"): _rates(_tried_again),
    (PROVIDERS, "Fallbacks", "{{route}} {{reason}}"): _rates(_fell_back),
    (PROVIDERS, "Ejected upstreams", "{{route}} {{upstream}}"): _between(-0.1, 2, ("second", "anthropic")),
    (FRONTS, "Connections", "open"): _between(HELD, 50),
    (FRONTS, "Certificate", "left"): _between(30 * 86_400, 5000 * 86_400),
    (FRONTS, "Workers", "serving"): _is(value=2),
    (FRONTS, "Configuration", "taken"): _is(value=1),
    (FRONTS, "Requests by class", "{{class}}"): _rates(
        lambda seen: {("2xx",): 4 * ROUNDS, ("4xx",): 4 * ROUNDS + 1, ("5xx",): ROUNDS}
    ),
    (FRONTS, "Requests by path group", "{{group}}"): _rates(lambda seen: {("openai",): 9 * ROUNDS + 1}),
    (FRONTS, "Refused at the front", "credentials"): _rates(lambda seen: {(): ROUNDS}),
    (FRONTS, "Refused at the front", "too large"): _rates(lambda seen: {(): 1}),
    (FRONTS, "Refused at the front", "no worker reached"): _is(value=0),
    (FRONTS, "Time to the last byte at the front, p95", "{{group}}"): _between(0.2, 20, ("openai",)),
    (FRONTS, "Workers started again", "restarts"): _is(value=0),
    (FRONTS, "Workers started again", "of those that hung"): _is(value=0),
    (FRONTS, "Reloads", "{{result}}"): _between(-0.1, 0, ("success",), ("failure",), ("unconfirmed",)),
    (STORE, "Workers without the store", "workers"): _is(value=0),
    (STORE, "Calls not booked", "calls"): _is(value=0),
    (STORE, "Never booked", "calls"): _is(value=0),
    (STORE, "Archive", "unreachable"): _is(value=0),
    (STORE, "Time of a script", "p50"): _between(0, 0.1),
    (STORE, "Time of a script", "p99"): _between(0, 5),
    (STORE, "Scripts", "scripts"): _rates(lambda seen: {(): 2 * ROUNDS}),
    (STORE, "Decided without the store", "{{policy}}"): _rates(lambda seen: {}),
    (STORE, "Reservations that expired", "calls"): _is(value=0),
    (STORE, "Rows that wait", "for this gateway"): _is(value=0),
    (STORE, "Rows that wait", "for the archive"): _is(value=0),
}
QUERIES = [
    (dashboard.uid, panel, legend) for dashboard in DASHBOARDS for panel in dashboard.panels for legend in panel.queries
]


@pytest.mark.parametrize(
    ("uid", "panel", "legend"), QUERIES, ids=lambda value: value.title if isinstance(value, Panel) else str(value)
)
def test_a_panels_query_agrees_with_the_traffic(seen: Seen, uid: str, panel: Panel, legend: str) -> None:
    found = seen.ask(panel.queries[legend])
    assert found, "no sample"
    EXPECTED[uid, panel.title, legend](seen, found)


def test_every_expectation_is_of_a_panel() -> None:
    assert set(EXPECTED) == {(uid, panel.title, legend) for uid, panel, legend in QUERIES}

"""`limits:`, `budgets:`, `price:` and MLflow's `limit:`: exact numbers, and each mistake by its line."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.limits import limit_of, period_s
from sidecar.domain.snapshot import Budget, Limit, Price, Route
from tests.config.loading import loaded, problems, route


def made(extra: str) -> Route:
    return loaded(route(extra)).routes["chat"]


@pytest.mark.parametrize(
    ("written", "limit"),
    [
        ("{requests: 100, per: minute}", Limit("requests", 100, 60)),
        ("{tokens: 200000, per: day, each: consumer}", Limit("tokens", 200_000, 86_400, True)),
        ("{concurrent: 8}", Limit("concurrent", 8)),
        ("{concurrent: 1, each: consumer}", Limit("concurrent", 1, 0, True)),
        ("{requests: 1, per: second}", Limit("requests", 1, 1)),
        ("{requests: 1, per: hours}", Limit("requests", 1, 3600)),
        ('{requests: 1, per: "10 minutes"}', Limit("requests", 1, 600)),
        ("{requests: 1, per: 30s}", Limit("requests", 1, 30)),
        ("{requests: 1, per: 2 h}", Limit("requests", 1, 7200)),
        ("{requests: 1, per: 31d}", Limit("requests", 1, 31 * 86_400)),
        ("{requests: 1, per: month}", Limit("requests", 1, 30 * 86_400)),
        ("{requests: 1, per: 2  years}", Limit("requests", 1, 2 * 360 * 86_400)),
        ("{calls: 3, renewal_period: Hour, key: user}", Limit("requests", 3, 3600, True)),
    ],
)
def test_each_form_of_a_limit_is_read(written: str, limit: Limit) -> None:
    assert made(f"limits: [{written}]").limits == (limit,)


@pytest.mark.parametrize(
    ("written", "path", "message"),
    [
        ("{requests: 1}", "[0].per", "is missing; second, minute, hour, day, month or year"),
        ("{per: minute}", "[0]", "needs one of requests, tokens, concurrent; write each limit as a separate item"),
        (
            "{requests: 1, tokens: 2, per: day}",
            "[0]",
            "needs one of requests, tokens, concurrent; write each limit as a separate item",
        ),
        ("{requests: 0, per: day}", "[0].requests", "expected a whole number from 1 to 1000000000"),
        ("{requests: 1.5, per: day}", "[0].requests", "expected a whole number from 1 to 1000000000"),
        ("{request: 1, per: day, tokens: 1}", "[0]", 'unknown key "request"; did you mean "requests"?'),
        (
            "{concurrent: 1, per: day}",
            "[0].per",
            "does not apply to concurrent calls",
        ),
        (
            "{requests: 1, per: fortnight}",
            "[0].per",
            'expected second, minute, hour, day, month or year, or such as "10 minutes", up to 5 years',
        ),
        (
            "{requests: 1, per: 6 years}",
            "[0].per",
            'expected second, minute, hour, day, month or year, or such as "10 minutes", up to 5 years',
        ),
        (
            "{requests: 1, per: day, each: route}",
            "[0].each",
            "unknown word; on a route, write `each: consumer`, or omit it for a shared limit",
        ),
        ("{requests: 1, per: day}, {requests: 2, per: 24h}", "[1]", "limits the same as line 5; keep one"),
        ("{calls: 1}", "[0].renewal_period", "is missing"),
        ("7", "[0]", "expected a mapping, found a number"),
    ],
)
def test_each_mistake_in_a_limit_has_its_message(written: str, path: str, message: str) -> None:
    assert problems(route(f"limits: [{written}]")) == [f"config.yaml:5: routes[0].limits{path}: {message}"]


def test_limits_are_a_list_of_at_most_16_and_never_empty_by_accident() -> None:
    place = "config.yaml:5: routes[0].limits"
    assert problems(route("limits: {requests: 1}")) == [f"{place}: expected a list, found a mapping"]
    assert problems(route("limits:")) == [f"{place}: has no value; remove the key, or write []"]
    assert problems(route("budgets: ~"))[0].endswith("has no value; remove the key, or write []")
    assert made("limits: []").limits == ()
    many = ", ".join(f"{{requests: 1, per: {seconds}s}}" for seconds in range(1, 17))
    assert len(made(f"limits: [{many}]").limits) == 16
    assert problems(route(f"limits: [{many}]\nlimit: {{calls: 1, renewal_period: day}}")) == [
        f"{place}: more than 16 limits"
    ]


@pytest.mark.parametrize(
    ("period", "seconds"),
    [("second", 1), ("seconds", 1), ("minute", 60), ("hour", 3600), ("day", 86_400), ("month", 2_592_000),
     ("year", 31_104_000), ("10 minutes", 600), ("2hours", 7200), (" Minute ", 60), ("5 year", 5 * 31_104_000)],
)  # fmt: skip
def test_mlflows_periods_are_those_of_the_limits_library(period: str, seconds: int) -> None:
    found = made(f'limit: {{calls: 10, renewal_period: "{period}"}}')
    assert found.limits == (Limit("requests", 10, seconds),)
    assert found.mlflow_limit == (10, period, None)
    assert limit_of(10, period, None) == found.limits[0]


@pytest.mark.parametrize(("key", "each"), [("user", True), ("route", False), ("endpoint", False), ("", False)])
def test_mlflows_key_says_who_shares_a_limit(key: str, each: bool) -> None:
    found = made(f"limit: {{calls: 5, renewal_period: minute, key: {key}}}")
    assert found.limits == (Limit("requests", 5, 60, each),)
    assert found.mlflow_limit == (5, "minute", key or None)


def test_mlflows_empty_limit_is_none_and_its_own_counts_beside_ours() -> None:
    assert made("limit: null").limits == ()
    assert made("limit:").mlflow_limit is None
    both = made("limit: {calls: 1, renewal_period: day}\nlimits: [{tokens: 9, per: day}]")
    assert both.limits == (Limit("requests", 1, 86_400), Limit("tokens", 9, 86_400))


@pytest.mark.parametrize("period", ["fortnight", "0 minutes", "6 years", "1/minute", "minute;drop", "", "-1 day"])
def test_an_unknown_period_is_refused(period: str) -> None:
    assert period_s(period) is None
    hint = 'second, minute, hour, day, month or year, or such as "10 minutes"'
    assert problems(route(f'limit: {{calls: 10, renewal_period: "{period}"}}')) == [
        f"config.yaml:5: routes[0].limit.renewal_period: unknown period; {hint}"
    ]
    with pytest.raises(ValueError, match="renewal_period"):
        limit_of(10, period, None)


def test_other_mistakes_in_mlflows_limit() -> None:
    place = "config.yaml:5: routes[0].limit"
    assert problems(route("limit: {calls: 0, renewal_period: day, key: ip}")) == [
        f"{place}.calls: expected a whole number from 1 to 1000000000",
        f"{place}.key: unknown word; known: user, route, endpoint",
    ]
    assert problems(route("limit: 5")) == [f"{place}: expected a mapping, found a number"]
    assert problems(route("limit: {period: day}")) == [
        f'{place}: unknown key "period"; did you mean "renewal_period"?',
        f"{place}.calls: is missing",
        f"{place}.renewal_period: is missing",
    ]


@pytest.mark.parametrize(
    ("written", "budget"),
    [
        ("{dollars: 12.50, per: day}", Budget(12_500_000, "day")),
        ("{dollars: 300, per: month, soft: 0.5, each: consumer}", Budget(300_000_000, "month", 0.5, True)),
        ("{dollars: 0.000001, per: day}", Budget(1, "day")),
        ('{dollars: "0.1", per: day, soft: 1}', Budget(100_000, "day", 1.0)),
        ("{dollars: 1000000000, per: day}", Budget(10**15, "day")),
    ],
)
def test_budgets_are_exact(written: str, budget: Budget) -> None:
    assert made(f"budgets: [{written}]").budgets == (budget,)


_DOLLARS = "expected dollars such as 12.50, with at most six decimals"
_DOLLAR = "contains a $ that does not begin a variable; $NAME and ${NAME} are variables, $$ is a dollar"


@pytest.mark.parametrize(
    ("written", "path", "message"),
    [
        ("{dollars: 0, per: day}", ".dollars", "must be more than 0; use `deny` to keep a consumer from a route"),
        ("{dollars: 0.0000001, per: day}", ".dollars", _DOLLARS),
        ("{dollars: 1e3, per: day}", ".dollars", _DOLLARS),
        ("{dollars: -1, per: day}", ".dollars", _DOLLARS),
        ("{dollars: 5$, per: day}", ".dollars", _DOLLAR),
        ("{dollars: 1000000001, per: day}", ".dollars", _DOLLARS),
        ("{dollars: 1, per: week}", ".per", "unknown word; known: day, month"),
        ("{dollars: 1, per: day, soft: 80}", ".soft", "expected a share above 0 and up to 1, such as 0.8"),
        ("{dollars: 1}", ".per", "is missing"),
        ("{per: day}", ".dollars", "is missing"),
    ],
)
def test_each_mistake_in_a_budget_has_its_message(written: str, path: str, message: str) -> None:
    assert problems(route(f"budgets: [{written}]")) == [f"config.yaml:5: routes[0].budgets[0]{path}: {message}"]


def test_two_budgets_of_one_kind_are_one_too_many() -> None:
    (problem,) = problems(route("budgets:\n  - {dollars: 1, per: day}\n  - {dollars: 2, per: day}"))
    assert problem == "config.yaml:7: routes[0].budgets[1]: limits the same as line 6; keep one"


@given(st.decimals(min_value=0, max_value=999_999, places=6))
def test_money_is_read_to_the_last_digit(amount: Decimal) -> None:
    price = made(f"price: {{input: {amount:f}, output: 0}}").upstreams[0].price
    assert price == Price(int(amount * 1_000_000), 0)


def test_a_price_stands_on_the_route_or_a_model() -> None:
    whole = "{input: 2.5, output: 10, cached_input: 1.25, cache_write: 3.125}"
    assert made(f"price: {whole}").upstreams[0].price == Price(2_500_000, 10_000_000, 1_250_000, 3_125_000)
    hour = made("price: {input: 3, output: 15, cache_write: 3.75, cache_write_1h: 6}").upstreams[0].price
    assert hour == Price(3_000_000, 15_000_000, None, 3_750_000, cache_write_1h=6_000_000)
    assert made("").upstreams[0].price is None
    tiers = "{flex: {input: 0.5, output: 2}, on_demand: {input: 1, output: 4, cached_input: 0.1}}"
    by_tier = made(f"price: {{input: 1, output: 4, tiers: {tiers}}}").upstreams[0].price
    assert by_tier == Price(
        1_000_000,
        4_000_000,
        tiers=(("flex", Price(500_000, 2_000_000)), ("on_demand", Price(1_000_000, 4_000_000, 100_000))),
    )
    place = "config.yaml:5: routes[0].price"
    assert problems(route("price: {input: 1}")) == [f"{place}.output: is missing; 0 is a price too"]
    assert problems(route("price: {input: 1, output: x}")) == [f"{place}.output: {_DOLLARS}"]
    for tier, words in (
        ("flex: {input: 1}", ".tiers.flex.output: is missing; 0 is a price too"),
        ("flex: {input: 1, output: 1, tiers: {}}", '.tiers.flex: unknown key "tiers"'),
        ("auto: {input: 1, output: 1}", '.tiers: "auto" is not a service tier; use the provider\'s name in lower case'),
        (
            "Flex: {input: 1, output: 1}",
            ".tiers: (not shown: it may contain a secret) is not a service tier; use the provider's name",
        ),
    ):
        (problem,) = problems(route(f"price: {{input: 1, output: 1, tiers: {{{tier}}}}}"))
        assert problem.startswith(place + words)


def test_what_is_counted_as_spent_stands_on_the_route_or_a_model() -> None:
    assert made("").upstreams[0].cost is None
    assert made("cost: provider").upstreams[0].cost == "provider"
    assert made("cost: tokens").upstreams[0].cost == "tokens"
    assert problems(route("cost: credits")) == ["config.yaml:5: routes[0].cost: unknown word; known: tokens, provider"]

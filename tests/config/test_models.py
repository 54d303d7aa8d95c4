"""Several models of one route, MLflow's traffic splits, and what a route says about failures."""

from __future__ import annotations

import pytest

from sidecar.domain.snapshot import Admission, Breaker, Price, Retries, Route, Snapshot
from tests.config.loading import loaded, problems, route

A = "{provider: openai, name: gpt-4o, config: {openai_api_key: $OPENAI_API_KEY}}"
B = "{provider: openai, name: gpt-4o-mini, config: {openai_api_key: $OPENAI_API_KEY}}"
C = "{provider: anthropic, name: claude, config: {anthropic_api_key: $OPENAI_API_KEY}}"


def several(*models: str, extra: str = "", key: str = "models") -> str:
    lines = ["routes:", "  - name: chat", "    route_type: llm/v1/chat", f"    {key}:"]
    lines += [f"      - {model}" for model in models]
    return "\n".join([*lines, *(f"    {line}" for line in extra.split("\n") if line)]) + "\n"


def weighted(model: str, weight: object) -> str:
    return model[:-1] + f", weight: {weight}}}"


def names(text: str) -> list[str]:
    return [upstream.name for upstream in loaded(text).routes["chat"].upstreams]


def test_models_are_tried_in_their_order_unless_said_otherwise() -> None:
    made = loaded(several(A, C)).routes["chat"]
    assert [upstream.model for upstream in made.upstreams] == ["gpt-4o", "claude"]
    assert (made.strategy, [upstream.weight for upstream in made.upstreams]) == ("ordered", [1, 1])


def test_fallbacks_are_the_short_form() -> None:
    short = several(C, B, key="fallbacks", extra=f"model: {A}")
    assert loaded(short).routes == loaded(several(A, C, B)).routes


def test_a_list_of_one_is_a_model() -> None:
    assert loaded(several(A)).routes == loaded(route(name="gpt-4o")).routes


def test_weights_and_prices_stand_at_the_models() -> None:
    priced = weighted(C, 0)[:-1] + ", price: {input: 3, output: 15}, cost: tokens}"
    extra = "strategy: weighted\nprice: {input: 1, output: 2}\ncost: provider"
    text = several(weighted(A, 3), priced, B, extra=extra)
    made = loaded(text).routes["chat"]
    assert made.strategy == "weighted"
    assert [upstream.weight for upstream in made.upstreams] == [3, 0, 1]
    common, own = Price(1_000_000, 2_000_000), Price(3_000_000, 15_000_000)
    assert [upstream.price for upstream in made.upstreams] == [common, own, common]
    assert [upstream.cost for upstream in made.upstreams] == ["provider", "tokens", "provider"]


def test_the_routes_settings_hold_for_all_of_its_models() -> None:
    extra = "strategy: least_in_flight\nheaders: {X-Team: a}\ndrop_params: [seed]\nproxy: http://proxy.example"
    made = loaded(several(A, C, extra=extra)).routes["chat"]
    assert made.strategy == "least_in_flight"
    for upstream in made.upstreams:
        assert ("X-Team", "a") in upstream.headers
        assert upstream.options["drop_params"] == ("seed",)
        assert upstream.proxy == "http://proxy.example"


@pytest.mark.parametrize(
    ("models", "named"),
    [
        ([A], [""]),
        ([A, C], ["openai", "anthropic"]),
        ([A, B], ["openai/gpt-4o", "openai/gpt-4o-mini"]),
        ([A, C, B], ["openai/gpt-4o", "anthropic", "openai/gpt-4o-mini"]),
        ([A, A, A], ["openai/gpt-4o", "openai/gpt-4o#2", "openai/gpt-4o#3"]),
        ([A, A.replace("gpt-4o", '"gpt 4ö"')], ["openai/gpt-4o", "openai/gpt_4_"]),
        ([A, A.replace("gpt-4o", "x" * 300)], ["openai/gpt-4o", "openai/" + "x" * 113]),
    ],
)
def test_names_tell_the_models_apart_and_fit_into_a_header(models: list[str], named: list[str]) -> None:
    assert names(several(*models)) == named


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (several(A, extra=f"model: {B}"), "6: routes[0]: model and models exclude each other; keep one"),
        (
            several(A, extra="fallbacks: []"),
            "6: routes[0]: fallbacks and models exclude each other; keep one",
        ),
        (several(extra="models: []").replace("    models:\n", ""), "4: routes[0].models: is empty"),
        (several(*[A] * 9), "13: routes[0]: more than 8 models"),
        (several(A, weighted(C, 2)), "6: routes[0].models[1].weight: requires `strategy: weighted`"),
        (
            several(weighted(A, 0), weighted(C, 0), extra="strategy: weighted"),
            "5: routes[0].models: no model has a weight above 0; the first choice is by weight",
        ),
        (
            several(weighted(A, -1), C, extra="strategy: weighted"),
            "5: routes[0].models[0].weight: expected a whole number from 0 to 1000000",
        ),
        (
            several(A, extra="strategy: random"),
            "6: routes[0].strategy: unknown word; known: ordered, weighted, least_in_flight",
        ),
        (
            several(C, key="fallbacks", extra=f"model: {A}\nstrategy: weighted"),
            "7: routes[0].strategy: requires `models:`; `fallbacks:` are tried in order",
        ),
        (
            several(A, C).replace("v1/chat", "v1/embeddings"),
            '6: routes[0].models[1].provider: "anthropic" does not support embeddings; it supports chat, completions',
        ),
        (
            several(A, C.replace("anthropic,", "antropic,")),
            '6: routes[0].models[1].provider: unknown provider "antropic"; did you mean "anthropic"?',
        ),
        (
            several(A, C, extra="completions_api: completions").replace("v1/chat", "v1/completions"),
            '7: routes[0].completions_api: "anthropic" has no completions API; remove the key; chat is used instead',
        ),
        (route(f"fallbacks: {C}"), "5: routes[0].fallbacks: expected a list, found a mapping"),
    ],
)
def test_each_mistake_has_its_message(text: str, message: str) -> None:
    assert problems(text) == [f"config.yaml:{message}"]


FAILURES = """\
retries: {budget: 3, backoff: 100ms, backoff_max: 2s}
breaker: {consecutive_failures: 2, error_ratio: 0.25, calls_min: 4, window: 1m, open: 5}
admission: {concurrent: 16, queue: 4, queue_time: 50ms}
timeouts: {write: 9}
mlflow_dialect: b
"""


def _check_failures(made: Route) -> None:
    assert made.retries == Retries(3, 0.1, 2.0)
    assert made.breaker == Breaker(2, 0.25, 4, 60.0, 5.0)
    assert made.admission == Admission(16, 4, 0.05)
    assert (made.timeouts.write_s, made.mlflow_dialect) == (9.0, "b")


def test_what_a_route_says_about_failures_is_read_there_or_from_the_defaults() -> None:
    _check_failures(loaded(route(FAILURES)).routes["chat"])
    defaults = "defaults:\n" + "".join(f"  {line}\n" for line in FAILURES.splitlines())
    _check_failures(loaded(route() + defaults).routes["chat"])
    partly = loaded(route("retries: {budget: 0}\nadmission: {queue: 9}\nmlflow_dialect: a") + defaults).routes["chat"]
    assert (partly.retries, partly.admission) == (Retries(0, 0.1, 2.0), Admission(16, 9, 0.05))
    assert partly.mlflow_dialect == "a"


def test_without_them_the_snapshots_defaults_hold() -> None:
    snapshot = loaded(route())
    made = snapshot.routes["chat"]
    assert (made.retries, made.breaker, made.admission, made.mlflow_dialect) == (Retries(), Breaker(), None, "a")
    assert snapshot.admission == Admission(1000) == Snapshot({}, "").admission


@pytest.mark.parametrize(("written", "read_s"), [("off", 0.0), ("45s", 45.0), ("2", 2.0), (None, 15.0)])
def test_a_route_says_when_a_silent_stream_gets_a_comment(written: str | None, read_s: float) -> None:
    line = "" if written is None else f"stream_keepalive: {written}"
    assert loaded(route(line)).routes["chat"].stream_keepalive_s == read_s
    defaults = "" if written is None else f"defaults: {{{line}}}\n"
    assert loaded(route() + defaults).routes["chat"].stream_keepalive_s == read_s
    assert "stream_keepalive" in problems(route("stream_keepalive: never"))[0]


def test_the_top_level_says_what_holds_for_the_whole_gateway() -> None:
    text = "admission: {concurrent: 50}\nmlflow_dialect: b\nmanage_routes: on\nsecrets_in_prompts: off\n"
    snapshot = loaded(route() + text)
    assert (snapshot.admission, snapshot.manage_routes) == (Admission(50), True)
    assert snapshot.secrets_in_prompts == "off"
    assert snapshot.routes["chat"].mlflow_dialect == "b"
    assert (loaded(route()).manage_routes, loaded(route()).secrets_in_prompts) == (False, "refuse")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("retries: {budget: 11}", "retries.budget: expected a whole number from 0 to 10"),
        ("retries: {backoff: 9s}", "retries: backoff is longer than backoff_max; 9s, 8s"),
        (
            "breaker: {error_ratio: 1.1}",
            "breaker.error_ratio: expected a share above 0 and up to 1, such as 0.8",
        ),
        ("breaker: {open_s: 1}", 'breaker: unknown key "open_s"; did you mean "open"?'),
        ("admission: {queue: 1}", "admission.concurrent: is missing"),
        ("admission: 5", "admission: expected a mapping, found a number"),
        ("mlflow_dialect: c", "mlflow_dialect: unknown word; known: a, b"),
    ],
)
def test_each_mistake_about_failures_has_its_message(extra: str, message: str) -> None:
    assert problems(route(extra)) == [f"config.yaml:5: routes[0].{message}"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("secrets_in_prompts: no", "secrets_in_prompts: unknown word; known: refuse, log, off"),
        ("manage_routes: 1", "manage_routes: expected true or false"),
        ("manage_route: true", 'unknown key "manage_route"; did you mean "manage_routes"?'),
    ],
)
def test_each_mistake_at_the_top_has_its_message(line: str, message: str) -> None:
    assert problems(route() + line + "\n") == [f"config.yaml:5: {message}"]


def test_a_key_that_is_a_part_of_others_is_answered_with_those() -> None:
    assert problems(route("api: responses")) == [
        'config.yaml:5: routes[0]: unknown key "api"; did you mean "completions_api" or "chat_api"?'
    ]


SPLIT = """\
routes:
  - name: ab
    task_type: llm/v1/chat
    routing_strategy: TRAFFIC_SPLIT
    destinations:
      - {name: small, traffic_percentage: 80}
      - {name: other, traffic_percentage: 20}
      - {name: large, traffic_percentage: 0}
endpoints:
"""
ENDPOINTS = "".join(
    f"  - {{name: {name}, endpoint_type: {kind}, model: {model}}}\n"
    for name, kind, model in (
        ("small", "llm/v1/chat", B),
        ("large", "llm/v1/chat", A),
        ("other", "llm/v1/chat", C),
        ("text", "llm/v1/completions", B),
    )
)


def test_a_traffic_split_becomes_a_weighted_route_in_its_place() -> None:
    snapshot = loaded(SPLIT + ENDPOINTS)
    assert list(snapshot.routes) == ["ab", "small", "large", "other", "text"]
    made = snapshot.routes["ab"]
    assert made.strategy == "weighted"
    assert [(each.name, each.model, each.weight) for each in made.upstreams] == [
        ("small", "gpt-4o-mini", 80),
        ("other", "claude", 20),
    ]
    assert snapshot.warnings == ()


def test_a_split_takes_a_routes_settings_and_the_defaults() -> None:
    extra = "    limit: {calls: 2, renewal_period: minute}\n    timeouts: {total: 9}\n"
    text = (
        SPLIT.replace("    destinations:\n", extra + "    destinations:\n")
        + ENDPOINTS
        + "defaults: {timeouts: {idle: 3}}\n"
    )
    made = loaded(text).routes["ab"]
    assert (made.timeouts.total_s, made.timeouts.idle_s, made.limits[0].count) == (9.0, 3.0, 2)


def test_a_destinations_own_settings_travel_with_its_model() -> None:
    text = SPLIT + ENDPOINTS.replace("{name: other, ", "{name: other, headers: {X-A: b}, ")
    assert ("X-A", "b") in loaded(text).routes["ab"].upstreams[1].headers


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: small, t", "name: smal, t", '6: routes[0].destinations[0].name: there is no route "smal"; did you mean "small"?'),
        (
            "name: small, t",
            "name: text, t",
            '6: routes[0].destinations[0].name: "text" is of type llm/v1/completions, this split is of llm/v1/chat',
        ),
        ("name: small, t", "name: ab, t", '6: routes[0].destinations[0].name: "ab" is a traffic split itself; name an endpoint'),
        ("name: small, t", "name: other, t", '7: routes[0].destinations[1]: duplicate destination "other"; first in line 6'),
        ("age: 80", "age: 70", "6: routes[0].destinations: the percentages add up to 90, not 100"),
        (
            "age: 80",
            "age: 80.5",
            "6: routes[0].destinations[0].traffic_percentage: expected a whole number from 0 to 100",
        ),
        ("traffic_percentage: 80", "weight: 80", '6: routes[0].destinations[0]: unknown key "weight"'),
        ("TRAFFIC_SPLIT", "RANDOM", "4: routes[0].routing_strategy: unknown word; known: TRAFFIC_SPLIT"),
        ("name: ab", "name: other", '12: endpoints[2].name: "other" is taken; first in line 2'),
        ("    task_type: llm/v1/chat\n", "    route_type: llm/v1/chat\n", '3: routes[0]: unknown key "route_type"'),
    ],
)  # fmt: skip
def test_each_mistake_in_a_split_has_its_message(old: str, new: str, message: str) -> None:
    assert f"config.yaml:{message}" in "\n".join(problems((SPLIT + ENDPOINTS).replace(old, new, 1)))


def test_a_destination_that_is_wrong_itself_is_reported_once() -> None:
    (problem,) = problems(SPLIT + ENDPOINTS.replace("provider: anthropic", "provider: antropic"))
    assert "endpoints[2].model.provider" in problem


def test_at_most_eight_destinations_get_traffic() -> None:
    items = "".join(f"      - {{name: e{n}, traffic_percentage: {20 if n == 0 else 10}}}\n" for n in range(9))
    endpoints = "".join(f"  - {{name: e{n}, endpoint_type: llm/v1/chat, model: {B}}}\n" for n in range(9))
    text = "routes:\n  - name: ab\n    task_type: llm/v1/chat\n    destinations:\n" + items + "endpoints:\n" + endpoints
    assert problems(text) == ["config.yaml:2: routes[0].destinations: more than 8 that get traffic"]

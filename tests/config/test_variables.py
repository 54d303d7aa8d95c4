"""Variables in any value of the file, and the top-level keys for anchors."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config import check, load_route_file, read_base
from tests.config.loading import loaded, problems, route

EVERYWHERE = """
x-shared:
  config: &config {openai_api_key: $OPENAI_API_KEY, openai_organization: $ORG, openai_api_base: "https://${HOST}/$VERSION"}
routes:
  - name: ${PREFIX}-chat
    route_type: llm/v1/chat
    model: {provider: $PROVIDER, name: "${MODEL}", config: {<<: *config}}
    proxy: http://${PROXY}:3128
    headers: {X-Team: "team-$TEAM", X-Price: "$$5"}
    limits: [{requests: $COUNT, per: $PERIOD}]
    price: {input: $DOLLARS, output: "1"}
    timeouts: {total: $TIME}
consumers:
  - {name: all, users: [$USER_NAME, "${PREFIX}-*"], allow: ["$PREFIX-chat"], local: $YES}
"""
VALUES = {
    "ORG": "org-1",
    "HOST": "llm.example",
    "VERSION": "v1",
    "PREFIX": "search",
    "PROVIDER": "openai",
    "MODEL": "3.5",
    "PROXY": "10.0.0.9",
    "TEAM": "a$b",
    "COUNT": "12",
    "PERIOD": "10 minutes",
    "DOLLARS": "2.50",
    "TIME": "90s",
    "USER_NAME": "no",
    "YES": "true",
}


def test_a_variable_is_read_in_every_kind_of_value() -> None:
    snapshot = loaded(EVERYWHERE, None, None, **VALUES)
    route_ = snapshot.routes["search-chat"]
    (upstream,) = route_.upstreams
    assert (upstream.model, upstream.base_url, upstream.proxy) == (
        "3.5",
        "https://llm.example/v1",
        "http://10.0.0.9:3128",
    )
    assert upstream.key is not None
    assert upstream.key.reveal() == "sk-env"
    assert dict(upstream.headers) == {"OpenAI-Organization": "org-1", "X-Team": "team-a$b", "X-Price": "$5"}
    assert (route_.limits[0].count, route_.limits[0].per_s, route_.timeouts.total_s) == (12, 600, 90.0)
    assert upstream.price is not None
    assert upstream.price.input == 2_500_000
    assert snapshot.consumers is not None
    assert (snapshot.consumers[0].users, snapshot.consumers[0].local) == (("no", "search-*"), True)
    assert snapshot.warnings == ()


def test_every_variable_that_is_unknown_or_empty_is_one_problem_with_its_line_and_path() -> None:
    text = EVERYWHERE.replace("$COUNT", "$GONE").replace("${MODEL}", "${EMPTY}")
    assert problems(text, None, **VALUES) == [
        "config.yaml:7: routes[0].model.name: environment variable EMPTY is empty",
        "config.yaml:10: routes[0].limits[0].requests: environment variable GONE is not set",
    ]


@pytest.mark.parametrize("value", ["100$", "a $ b", "${", "${}", "${A-B}", "$5", "${HOST"])
def test_a_dollar_that_begins_no_variable_is_refused_with_how_to_write_one(value: str) -> None:
    text = route(f'headers: {{X-A: "{value}"}}')
    hint = "$NAME and ${NAME} are variables, $$ is a dollar"
    assert problems(text, HOST="h") == [
        f"config.yaml:5: routes[0].headers.X-A: contains a $ that does not begin a variable; {hint}"
    ]


@pytest.mark.parametrize(("written", "value"), [("$$", "$"), ("$$HOST", "$HOST"), ("$$$HOST", "$h"), ("$$$$", "$$")])
def test_two_dollars_are_one_also_where_anchors_are_merged_twice(written: str, value: str) -> None:
    text = (
        f'x-headers: &h {{X-A: "{written}"}}\n'
        + route("headers: &again {<<: *h}")
        + route("headers: {<<: [*again, *h]}").replace("routes:", "endpoints:").replace("name: chat", "name: other")
    )
    routes = loaded(text, HOST="h").routes
    assert [dict(each.upstreams[0].headers) for each in routes.values()] == [{"X-A": value}] * 2


def test_what_a_variable_holds_is_neither_yaml_nor_a_variable_again() -> None:
    text = route(config="openai_api_key: $OPENAI_API_KEY, openai_organization: $ORG")
    for value in ("$HOST", "a: b", "*x", "#1", "null"):
        assert loaded(text, ORG=value).routes["chat"].upstreams[0].headers == (("OpenAI-Organization", value),)


def test_one_anchor_serves_as_a_key_and_as_a_value() -> None:
    text = route("headers: {X-A: *key}", config="openai_api_key: &key $TOKEN")
    (upstream,) = loaded(text, TOKEN="t-1").routes["chat"].upstreams
    assert upstream.key is not None
    assert (upstream.key.reveal(), upstream.headers, loaded(text, TOKEN="t-1").warnings) == (
        "t-1",
        (("X-A", "t-1"),),
        (),
    )


def test_variables_in_the_middle_of_a_key_and_of_its_path() -> None:
    def key(written: str, **env: str) -> str:
        found = loaded(route(config=f'openai_api_key: "{written}"'), {"/run/a/key": "sk-file"}, None, **env)
        secret = found.routes["chat"].upstreams[0].key
        assert secret is not None
        assert found.warnings == ()
        return secret.reveal()

    assert key("${A}-$B", A="sk", B="1") == "sk-1"
    assert key("file:$DIR/key", DIR="/run/a") == "sk-file"
    assert key("$DIR/key", DIR="/run/a") == "sk-file"


def test_a_part_of_a_key_is_not_taken_for_a_variables_name_and_shown() -> None:
    (problem,) = problems(route(config='openai_api_key: "sk-abc$hunter"'))
    assert "hunter" not in problem
    assert problem.endswith("$$ is a dollar")


def test_keys_that_begin_with_x_are_for_anchors_at_the_top_alone() -> None:
    text = "x-anything: [1, {a: $NOT_SET}, !!str b]\n" + route("x-more: 1")
    (problem,) = problems(text.replace(", !!str b", ""))
    assert problem.startswith('config.yaml:6: routes[0]: unknown key "x-more"')


def test_routes_managed_through_the_api_read_no_variable() -> None:
    base = read_base(route(), {"OPENAI_API_KEY": "k"}, read_file=lambda path: None, directory=".", local_base_url=None)
    text = route(name="$HOME", config="openai_api_key: 'secret:a'").replace("name: chat", "name: other")
    routes = load_route_file(text, "other.yaml", base, lambda name: "sk-1")
    assert routes is not None
    assert routes["other"].upstreams[0].model == "$HOME"


def test_defaults_of_the_file_have_their_variables_for_managed_routes_too() -> None:
    text = "defaults: {timeouts: {total: $T}}\n" + route()
    env = {"OPENAI_API_KEY": "k", "T": "7s"}
    base = read_base(text, env, read_file=lambda path: None, directory=".", local_base_url=None)
    assert base.settings.timeouts.total_s == 7.0


def test_check_names_the_variable_of_a_url(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(route(provider="openai-compatible", config='base_url: "http://${HOST}:8000/v1"'))
    assert check(str(path), {}) == (
        1,
        [f"{path}:4: routes[0].model.config.base_url: environment variable HOST is not set"],
    )

"""Files of routes that are managed through the API: the same checks, their own rule for keys."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sidecar.config import ConfigErrors, load, secret_keys
from sidecar.domain.snapshot import Snapshot
from tests.config.loading import ENV, route

MAIN = route("timeouts: {idle: 7}")
STORED = {"made": "sk-stored-1\n"}


def made(name: str = "made", key: str = "secret:made", extra: str = "") -> str:
    return route(extra, config=f'openai_api_key: "{key}"').replace("name: chat", f"name: {name}")


def loaded(route_files: Mapping[str, str], text: str = MAIN) -> Snapshot:
    files = {"key": "sk-file"}
    return load(text, ENV, read_file=files.get, route_files=route_files, read_secret=STORED.get)


def problems(route_files: Mapping[str, str], text: str = MAIN) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(route_files, text)
    return [str(problem) for problem in caught.value.problems]


def test_a_stored_secret_becomes_the_key_and_the_files_routes_follow() -> None:
    snapshot = loaded({"routes.d/b.yaml": made("b"), "routes.d/a.yaml": made("a")})
    assert list(snapshot.routes) == ["chat", "b", "a"]
    key = snapshot.routes["a"].upstreams[0].key
    assert key is not None
    assert key.reveal() == "sk-stored-1"
    assert snapshot.warnings == ()


def test_defaults_of_the_main_file_hold_for_them() -> None:
    text = MAIN + "defaults: {timeouts: {total: 42}}\n"
    assert loaded({"x.yaml": made()}, text).routes["made"].timeouts.total_s == 42.0


def test_json_is_yaml_so_a_file_may_be_written_as_json() -> None:
    text = (
        '{"endpoints": [{"name": "j", "endpoint_type": "llm/v1/chat", "model": {"provider": "openai", "name": "m",'
        ' "config": {"openai_api_key": "secret:made"}}}]}'
    )
    assert "j" in loaded({"x.yaml": text}).routes


@pytest.mark.parametrize(
    "key", ["$OPENAI_API_KEY", "${OPENAI_API_KEY}", "file:key", "key", "/etc/passwd", "sk-literal", "secret:",
            "secret:../made", "secret:/made", "secret:.made", "secret:a/b"],
)  # fmt: skip
def test_nothing_but_a_stored_secret_is_read(key: str) -> None:
    assert problems({"x.yaml": made(key=key)}) == [
        "x.yaml:4: routes[0].model.config.openai_api_key: write the key as secret:NAME; "
        "variables, paths and plain keys are refused here"
    ]


def test_a_secret_that_is_gone_says_so() -> None:
    place = "x.yaml:4: routes[0].model.config.openai_api_key"
    hint = "restore it, or remove the route's file and create the route again"
    assert problems({"x.yaml": made(key="secret:gone")}) == [f"{place}: routes.d/secrets/gone is not there; {hint}"]


def test_the_main_file_does_not_take_the_form_of_the_others() -> None:
    (problem,) = problems({}, made())
    assert problem.endswith("secret:NAME is only for routes managed through the API; use $NAME or file:PATH")


def test_a_ca_file_is_refused_and_its_existence_not_told() -> None:
    for path in ("key", "gone"):
        (problem,) = problems({"x.yaml": made(extra=f"ca_file: {path}")})
        assert problem == (
            "x.yaml:5: routes[0].ca_file: is only allowed in the config file; "
            "a route managed through the API cannot name files"
        )


def test_a_client_certificate_is_refused_and_its_existence_not_told() -> None:
    for path in ("key", "gone"):
        (problem,) = problems({"x.yaml": made(extra=f"client_certificate: {{certificate: {path}}}")})
        assert problem == (
            "x.yaml:5: routes[0].client_certificate: is only allowed in the config file; a route managed "
            "through the API cannot name files"
        )


def test_names_are_unique_over_all_files_and_problems_name_theirs() -> None:
    assert problems({"x.yaml": made("chat"), "y.yaml": made("y"), "z.yaml": "\n" + made("y").replace("openai,", "opnai,")}) == [
        'x.yaml:2: routes[0].name: "chat" is taken; first in config.yaml:2',
        'z.yaml:3: routes[0].name: "y" is taken; first in y.yaml:2',
        'z.yaml:5: routes[0].model.provider: unknown provider "opnai"; did you mean "openai"?',
    ]  # fmt: skip


def test_problems_of_the_main_file_come_first() -> None:
    found = problems({"x.yaml": made(key="$A")}, route(provider="opnai"))
    assert [problem.split(":")[0] for problem in found] == ["config.yaml", "x.yaml"]


@pytest.mark.parametrize("key", ["defaults: {}", "consumers: []", "manage_routes: true", "secrets_in_prompts: log"])
def test_such_a_file_holds_routes_only(key: str) -> None:
    (problem,) = problems({"x.yaml": made() + key + "\n"})
    assert problem.startswith("x.yaml:5: unknown key")


def test_a_main_file_without_routes_will_do_where_calls_may_make_them() -> None:
    assert list(loaded({"x.yaml": made()}, "routes: []\n").routes) == ["made"]
    assert list(loaded({}, "routes: []\nmanage_routes: true\n").routes) == []
    assert loaded({}, "manage_routes: true\n").manage_routes
    assert "there are no routes" in problems({}, "routes: []\nmanage_routes: false\n")[0]


def test_the_hash_covers_every_file_and_its_name() -> None:
    texts: list[dict[str, str]] = [
        {},
        {"x.yaml": made()},
        {"y.yaml": made()},
        {"x.yaml": made() + "\n"},
        {"x.yaml": made(), "y.yaml": made("y")},
    ]
    hashes = [loaded(route_files).hash for route_files in texts]
    assert len(set(hashes)) == len(hashes)
    assert loaded({"b": made("b"), "a": made("a")}).hash == loaded({"a": made("a"), "b": made("b")}).hash


def test_which_settings_are_keys_is_known_by_provider() -> None:
    assert secret_keys("Openai") >= {"openai_api_key", "azure_client_secret"}
    assert secret_keys("databricks") == {"token", "client_secret"}
    assert secret_keys("togetherai") == {"togetherai_api_key", "api_key"}
    assert secret_keys("nobody") >= secret_keys("cohere") | secret_keys("openai")

"""Proxies with user and password, and those of the environment."""

from __future__ import annotations

import pytest

from sidecar.config import ConfigErrors, load_route_file, read_base
from tests.config.loading import loaded, problems, route

PROXY = "http://10.0.0.9:3128"


def _proxy(base: str, extra: str = "proxy: environment", **env: str) -> str | None:
    text = route(extra, provider="openai-compatible", config=f"base_url: '{base}'")
    return loaded(text, None, None, **env).routes["chat"].upstreams[0].proxy


def test_user_and_password_stay_in_the_url_and_out_of_what_is_printed() -> None:
    extra = 'proxy: "http://us%40er:${PASSWORD}@proxy:3128/"'
    text = route(extra, provider="openai-compatible", config="base_url: https://a/v1")
    snapshot = loaded(text, PASSWORD="p%3Aw")
    assert snapshot.routes["chat"].upstreams[0].proxy == "http://us%40er:p%3Aw@proxy:3128"
    assert snapshot.warnings == ()
    assert "p%3Aw" not in repr(snapshot)
    (warning,) = loaded(route("proxy: http://u:pw@proxy:3128")).warnings
    assert warning.endswith("contains the proxy's password in plain text; use $NAME in the URL")


@pytest.mark.parametrize(
    ("base", "env", "proxy"),
    [
        ("https://api.example/v1", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://api.example/v1", {"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, PROXY),
        ("https://api.example/v1", {"HTTPS_PROXY": "10.0.0.9:3128"}, PROXY),
        ("https://api.example/v1", {"HTTP_PROXY": PROXY}, None),
        ("http://api.example/v1", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://api.example/v1", {"ALL_PROXY": PROXY}, PROXY),
        ("https://api.example/v1", {}, None),
        ("http://localhost:8000/v1", {"HTTP_PROXY": PROXY}, None),
        ("http://127.0.0.1:8000/v1", {"ALL_PROXY": PROXY}, None),
    ],
)
def test_the_environments_proxy_is_chosen_by_the_scheme(base: str, env: dict[str, str], proxy: str | None) -> None:
    assert _proxy(base, "proxy: environment", **env) == proxy
    assert _proxy(base, "timeouts: {total: 5s}", **env) is None


@pytest.mark.parametrize(
    ("entry", "excepted"),
    [
        ("*", True),
        ("example", True),
        (".example", True),
        ("*.example", True),
        ("API.Example.", True),
        ("api.example:443", True),
        ("api.example:8443", False),
        ("xapi.example", False),
        ("pi.example", False),
        ("other, api.example", True),
        ("10.0.0.0/8", False),
        ("", False),
    ],
)
def test_no_proxy_names_domains(entry: str, excepted: bool) -> None:
    assert (_proxy("https://api.example/v1", HTTPS_PROXY=PROXY, NO_PROXY=entry) is None) is excepted


@pytest.mark.parametrize(
    ("entry", "excepted"), [("10.1.0.0/16", True), ("10.1.2.3", True), ("10.1.2.3:80", True), ("10.2.0.0/16", False)]
)
def test_no_proxy_names_addresses_and_networks(entry: str, excepted: bool) -> None:
    assert (_proxy("http://10.1.2.3/v1", HTTP_PROXY=PROXY, NO_PROXY=entry) is None) is excepted


def test_a_proxy_that_is_not_http_is_refused_without_its_password() -> None:
    for value in ("socks5://u:secret@p:1", "http://u:secret@p:99999"):
        (problem,) = problems(route("proxy: environment"), HTTPS_PROXY=value)
        assert "environment variable HTTPS_PROXY is not the URL of an HTTP proxy" in problem
        assert "secret" not in problem


def test_routes_managed_through_the_api_get_the_defaults_and_choose_none_of_these() -> None:
    env = {"OPENAI_API_KEY": "k", "HTTPS_PROXY": PROXY}
    text = "defaults: {proxy: environment}\n" + route()
    base = read_base(text, env, read_file=lambda path: None, directory=".", local_base_url=None)
    made = route(config="openai_api_key: 'secret:a'").replace("name: chat", "name: other")
    routes = load_route_file(made, "other.yaml", base, lambda name: "sk-1")
    assert routes is not None
    assert routes["other"].upstreams[0].proxy == PROXY
    for wrong in ("proxy: environment", "proxy: http://u:p@proxy:1"):
        with pytest.raises(
            ConfigErrors, match=r"is only allowed in the config file|must not contain a user or password"
        ):
            load_route_file(made + f"    {wrong}\n", "other.yaml", base, lambda name: "sk-1")

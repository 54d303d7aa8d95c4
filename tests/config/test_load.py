"""What a config file gives, and what is said about one that is wrong."""

from __future__ import annotations

import ssl
import time

import pytest
import trustme

from adapters import Task
from sidecar.config import load
from sidecar.config.settings import Settings
from sidecar.domain.snapshot import Route, Timeouts, target_of
from tests.config.loading import loaded, problems, route

MLFLOW = """\
routes:
  - name: completions
    route_type: llm/v1/completions
    model:
      provider: openai
      name: gpt-3.5-turbo
      config:
        openai_api_key: $OPENAI_API_KEY
  - name: chat
    route_type: llm/v1/chat
    model:
      provider: openai
      name: gpt-3.5-turbo
      config:
        openai_api_key: $OPENAI_API_KEY
  - name: embeddings
    route_type: llm/v1/embeddings
    model:
      provider: openai
      name: text-embedding-ada-002
      config:
        openai_api_key: $OPENAI_API_KEY
"""


def test_mlflows_three_route_file_loads_unchanged() -> None:
    snapshot = loaded(MLFLOW)
    assert [(name, route.task) for name, route in snapshot.routes.items()] == [
        ("completions", Task.COMPLETIONS),
        ("chat", Task.CHAT),
        ("embeddings", Task.EMBEDDINGS),
    ]
    (upstream,) = snapshot.routes["embeddings"].upstreams
    assert (upstream.provider, upstream.model) == ("openai", "text-embedding-ada-002")
    assert upstream.base_url == "https://api.openai.com/v1"
    assert upstream.key is not None
    assert upstream.key.reveal() == "sk-env"
    assert snapshot.warnings == ()


def test_the_endpoints_spelling_gives_the_same_routes() -> None:
    renamed = MLFLOW.replace("routes:", "endpoints:").replace("route_type", "endpoint_type")
    assert loaded(renamed).routes == loaded(MLFLOW).routes


def test_old_type_keys_below_endpoints_load_as_in_mlflow_2_9() -> None:
    assert loaded(MLFLOW.replace("routes:", "endpoints:")).routes == loaded(MLFLOW).routes


def test_routes_and_endpoints_may_stand_in_one_file() -> None:
    other = MLFLOW.replace("routes:", "endpoints:").replace("name: c", "name: new-c").replace("name: e", "name: new-e")
    assert list(loaded(MLFLOW + other).routes) == [
        *("completions", "chat", "embeddings"),
        *("new-completions", "new-chat", "new-embeddings"),
    ]


@pytest.mark.parametrize("written", ["OpenAI", "openai", "OPENAI", "openai-compatible", "OpenAI_Compatible"])
def test_providers_are_read_in_any_case_with_dash_or_underscore(written: str) -> None:
    config = "openai_api_key: $OPENAI_API_KEY" if "ompatible" not in written else "base_url: https://llm.example/v1/"
    upstream = loaded(route(provider=written, config=config)).routes["chat"].upstreams[0]
    assert upstream.provider == written.lower().replace("_", "-")
    assert not upstream.base_url.endswith("/")


def test_our_own_keys_of_a_route_are_read() -> None:
    extra = """\
timeouts: {connect: 500ms, first_output: 30, idle: 1.5, total: 5m}
response_bytes_max: 2MiB
default_max_tokens: 512
drop_params: [seed, logit_bias]
headers: {X-Team: search, X-Version: 2}
ca_file: ca.pem
proxy: http://proxy.example:3128"""
    made = loaded(route(extra), {"ca.pem": trustme.CA().cert_pem.bytes().decode()}).routes["chat"]
    assert made.timeouts == Timeouts(connect_s=0.5, first_output_s=30.0, idle_s=1.5, total_s=300.0)
    assert made.response_bytes_max == 2 * 1024 * 1024
    (upstream,) = made.upstreams
    assert upstream.headers == (("X-Team", "search"), ("X-Version", "2"))
    assert upstream.ca_file is not None
    assert (upstream.ca_file.path, upstream.proxy) == ("ca.pem", "http://proxy.example:3128")
    assert target_of(upstream).options == {"default_max_tokens": 512, "drop_params": ("seed", "logit_bias")}


def test_a_relative_ca_file_starts_at_the_config_files_directory() -> None:
    files = {"ca.pem": trustme.CA().cert_pem.bytes().decode()}
    made = load(route("ca_file: ca.pem"), {"OPENAI_API_KEY": "k"}, file="/etc/llm/config.yaml", read_file=files.get)
    bundle = made.routes["chat"].upstreams[0].ca_file
    assert bundle is not None
    assert bundle.path == "/etc/llm/ca.pem"


def test_a_bundle_is_tried_when_the_file_is_read_and_kept_as_it_was() -> None:
    one, two = (trustme.CA().cert_pem.bytes().decode() for _ in range(2))

    def bundle(text: str) -> str:
        found = loaded(route("ca_file: ca.pem"), {"ca.pem": text}).routes["chat"].upstreams[0].ca_file
        assert found is not None
        return found.pem

    for text in (one + two, f"\ufeff# Autorit\u00e0\r\n{one}\r\nSubject: x\n{two}", (one + two).replace("\n", "\r\n")):
        assert ssl.create_default_context(cadata=bundle(text)).cert_store_stats()["x509_ca"] == 2
    place = 'config.yaml:5: routes[0].ca_file: file "ca.pem" '
    for text, words in (
        ("", "contains no PEM certificate"),
        (one + two[: len(two) // 2], "is truncated or damaged: a certificate in it has no end"),
        (one.replace(one.split("\n")[2], "AAAA"), "contains an invalid certificate"),
    ):
        assert problems(route("ca_file: ca.pem"), {"ca.pem": text}) == [place + words]


def test_defaults_hold_where_a_route_says_nothing() -> None:
    text = route("timeouts: {idle: 1s}") + "defaults: {timeouts: {total: 60, idle: 2}, proxy: 'http://proxy.example'}\n"
    made = loaded(text).routes["chat"]
    assert made.timeouts == Timeouts(idle_s=1.0, total_s=60.0)
    assert made.upstreams[0].proxy == "http://proxy.example"


def test_without_settings_the_snapshots_own_defaults_hold() -> None:
    made = loaded(route()).routes["chat"]
    assert (made.timeouts, made.response_bytes_max) == (Timeouts(), Settings().response_bytes_max)
    assert Route("r", Task.CHAT, ()).response_bytes_max == Settings().response_bytes_max


def test_provider_keys_become_headers_and_dates_need_no_quotes() -> None:
    config = "anthropic_api_key: $OPENAI_API_KEY, anthropic_version: 2024-01-01"
    (upstream,) = loaded(route(provider="anthropic", config=config)).routes["chat"].upstreams
    assert upstream.headers == (("anthropic-version", "2024-01-01"),)


def test_the_local_provider_takes_the_address_of_the_running_model() -> None:
    text = route(model="{provider: local, name: smollm2}", extra="proxy: http://proxy.example")
    (upstream,) = loaded(text, local="http://127.0.0.1:9999/v1").routes["chat"].upstreams
    assert (upstream.base_url, upstream.key, upstream.proxy) == ("http://127.0.0.1:9999/v1", None, None)


def test_the_hash_follows_the_text_but_not_the_secrets() -> None:
    first, other_key, other_text = loaded(MLFLOW), loaded(MLFLOW, OPENAI_API_KEY="sk-2"), loaded(MLFLOW + "\n")
    assert first.hash == other_key.hash != other_text.hash
    assert len(first.hash) == 12
    assert int(first.hash, 16) >= 0


def test_warnings_name_the_line() -> None:
    text = route(config="api_key: x, base_url: http://llm.example/v1")
    assert loaded(text.replace("openai", "openai-compatible", 1)).warnings == (
        "config.yaml:4: routes[0].model.config.api_key: contains the key in plain text; use $NAME or file:PATH",
        (
            "config.yaml:4: routes[0].model.config.base_url: uses plain http to another machine; keys and prompts are "
            "sent unencrypted; use https"
        ),
    )


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:80"])
def test_plain_http_on_this_machine_needs_no_warning(host: str) -> None:
    assert loaded(route(provider="openai-compatible", config=f'base_url: "http://{host}/v1"')).warnings == ()


def test_six_thousand_routes_load_in_seconds_of_cpu() -> None:
    """The promise is 2 s. Measured: 0.8 s; ten times the promise is allowed on a busy machine."""
    one = MLFLOW.split("\n", 1)[1]
    text = "routes:\n" + "".join(one.replace("  - name: ", f"  - name: r{index}-") for index in range(2001))
    start_s = time.process_time()
    assert len(loaded(text).routes) == 6003
    assert time.process_time() - start_s < 20.0

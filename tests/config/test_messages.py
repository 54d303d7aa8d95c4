"""What is said about a wrong config: each message, exactly."""

from __future__ import annotations

import pytest

from tests.config.loading import problems, route


def test_all_problems_are_reported_at_once_in_the_files_order() -> None:
    text = """\
routes:
  - name: chat
    route_type: llm/v1/chatt
    model: {provider: opnai, name: no}
  - name: chat
    rout_type: llm/v1/chat
"""
    assert problems(text) == [
        (
            'config.yaml:3: routes[0].route_type: unknown type "llm/v1/chatt"; '
            "known: llm/v1/chat, llm/v1/completions, llm/v1/embeddings"
        ),
        "config.yaml:4: routes[0].model.name: expected text, but YAML reads this as true or false; put it in quotes",
        'config.yaml:4: routes[0].model.provider: unknown provider "opnai"; did you mean "openai"?',
        'config.yaml:5: routes[1].name: "chat" is taken; first in line 2',
        "config.yaml:5: routes[1].route_type: is missing",
        "config.yaml:5: routes[1].model: is missing",
        'config.yaml:6: routes[1]: unknown key "rout_type"; did you mean "route_type"?',
    ]


_CONFIG = "config.yaml:4: routes[0].model.config"
_DURATION = 'expected a time from 1ms to 24h, such as 30 (seconds), "500ms" or "5m"'
_URL = "must be a URL that starts with http:// or https://"


def _url(value: str) -> str:
    return route(provider="openai-compatible", config=f'base_url: "{value}"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "config.yaml:1: not YAML: did not find expected ',' or ']'"),
        ("[]", "config.yaml:1: expected a mapping, found a list"),
        ("routes: {}", "config.yaml:1: routes: expected a list, found a mapping"),
        ("routes: []", "config.yaml:1: there are no routes; `routes:` or `endpoints:` needs at least one"),
        (route() + "route: x\n", 'config.yaml:5: unknown key "route"; did you mean "routes"?'),
        (
            route().replace("name: chat", "name: häuser"),
            (
                "config.yaml:2: routes[0].name: (not shown: it may contain a secret) is not a valid name; "
                "1 to 128 letters, digits, _, -, ., : and / are allowed, and * at the end for a wildcard route"
            ),
        ),
        (
            route("endpoint_type: llm/v1/chat"),
            "config.yaml:5: routes[0]: route_type and endpoint_type mean the same; keep one",
        ),
        (
            route() + "  - name: ab\n    task_type: llm/v1/chat\n    destinations: []\n",
            "config.yaml:7: routes[1].destinations: expected a list, found an empty one",
        ),
        (
            route(provider="litellm"),
            (
                'config.yaml:4: routes[0].model.provider: provider "litellm" is not yet supported; '
                "use openai-compatible with base_url <its proxy's address>/v1"
            ),
        ),
        (
            route(provider="bedrock"),
            (
                'config.yaml:4: routes[0].model.provider: provider "bedrock" is not yet supported; '
                "use openai-compatible with base_url https://bedrock-runtime.<region>.amazonaws.com/openai/v1"
            ),
        ),
        (
            route(provider="replicate"),
            'config.yaml:4: routes[0].model.provider: provider "replicate" is not yet supported',
        ),
        (
            route(provider="palm", config="palm_api_key: $OPENAI_API_KEY"),
            (
                'config.yaml:4: routes[0].model.provider: provider "palm" is no longer available; '
                "its service is gone; Gemini followed: use gemini with gemini_api_key"
            ),
        ),
        (
            route(provider="ai21labs", config="ai21labs_api_key: $OPENAI_API_KEY"),
            (
                'config.yaml:4: routes[0].model.provider: provider "ai21labs" is no longer available; its J2 models are gone; '
                "Jamba: use openai-compatible with base_url https://api.ai21.com/studio/v1"
            ),
        ),
        (
            route(provider="qqqq"),
            (
                'config.yaml:4: routes[0].model.provider: unknown provider "qqqq"; '
                "any server of OpenAI's format: openai-compatible with base_url"
            ),
        ),
        (
            route(type="llm/v1/embeddings", provider="anthropic", config="anthropic_api_key: $OPENAI_API_KEY"),
            'config.yaml:4: routes[0].model.provider: "anthropic" does not support embeddings; it supports chat, completions',
        ),
        (
            route(model="{provider: local, name: x}"),
            'config.yaml:4: routes[0].model.provider: provider "local" needs `sidecar up`, which runs the model',
        ),
        (route(config=""), f"{_CONFIG}.openai_api_key: is missing"),
        (route(model="{provider: openai, name: gpt-4o}"), f"{_CONFIG}.openai_api_key: is missing"),
        (route(provider="openai-compatible", config="api_key: $OPENAI_API_KEY"), f"{_CONFIG}.base_url: is missing"),
        (
            route(config="openai_api_key: $OPENAI_API_KEY, openai_api_typ: azure"),
            f'{_CONFIG}: unknown key "openai_api_typ"; did you mean "openai_api_type"?',
        ),
        (
            route(config="openai_api_key: $OPENAI_API_KEY, openai_api_type: azuer"),
            f"{_CONFIG}.openai_api_type: unknown type; known: openai, azure, azuread",
        ),
        (
            route(config="openai_api_key: $OPENAI_API_KEY, openai_deployment_name: x"),
            f"{_CONFIG}.openai_deployment_name: is for Azure; it requires openai_api_type: azure, or provider: azure",
        ),
        (
            route(provider="mistral", config="mistral_api_key: $OPENAI_API_KEY, api_key: $OPENAI_API_KEY"),
            f"{_CONFIG}: mistral_api_key and api_key mean the same; keep one",
        ),
        (route(provider="togetherai", config=""), f"{_CONFIG}.togetherai_api_key: is missing"),
        (
            route("completions_api: completions", type="llm/v1/chat"),
            "config.yaml:5: routes[0].completions_api: is only for routes of type llm/v1/completions",
        ),
        (
            route("completions_api: legacy", type="llm/v1/completions"),
            "config.yaml:5: routes[0].completions_api: unknown API; known: chat, completions",
        ),
        (
            route(
                "completions_api: completions",
                type="llm/v1/completions",
                provider="anthropic",
                config="anthropic_api_key: $OPENAI_API_KEY",
            ),
            (
                'config.yaml:5: routes[0].completions_api: "anthropic" has no completions API; '
                "remove the key; chat is used instead"
            ),
        ),
        (_url("ftp://x"), f"{_CONFIG}.base_url: {_URL}"),
        (_url("llm.example/v1"), f"{_CONFIG}.base_url: {_URL}"),
        (
            _url("https://me:pw@x/v1"),
            f"{_CONFIG}.base_url: must not contain a user or password; use the setting for the key",
        ),
        (_url("https://x/v1?a=b"), f"{_CONFIG}.base_url: must not contain a query or fragment"),
        (_url("https://x:99999/v1"), f"{_CONFIG}.base_url: must be a URL; host or port is malformed"),
        (_url("$URL"), f"{_CONFIG}.base_url: environment variable URL is not set"),
        (
            _url("https://x/ v1"),
            f"{_CONFIG}.base_url: must be a URL; it contains blanks, control or non-ASCII characters",
        ),
        (route("timeouts: {total: 0}"), f"config.yaml:5: routes[0].timeouts.total: {_DURATION}"),
        (route("timeouts: {total: 1:30}"), f"config.yaml:5: routes[0].timeouts.total: {_DURATION}"),
        (route("timeouts: {total: 2d}"), f"config.yaml:5: routes[0].timeouts.total: {_DURATION}"),
        (
            route("timeouts: {read: 1}"),
            'config.yaml:5: routes[0].timeouts: unknown key "read"; known: connect, first_output, idle, total, write',
        ),
        (
            route("response_bytes_max: -1"),
            (
                "config.yaml:5: routes[0].response_bytes_max: expected a size from 1024 to 1073741824 bytes, "
                'such as 65536 or "64MiB"'
            ),
        ),
        (
            route("default_max_tokens: 1.5"),
            "config.yaml:5: routes[0].default_max_tokens: expected a whole number from 1 to 10000000",
        ),
        (route("drop_params: seed"), "config.yaml:5: routes[0].drop_params: expected a list, found text"),
        (
            route("drop_params: [seed, mesages]"),
            'config.yaml:5: routes[0].drop_params[1]: unknown parameter "mesages"; did you mean "messages[].name"?',
        ),
        (
            route("drop_params:\n  - seed\n  - messages.name"),
            'config.yaml:7: routes[0].drop_params[1]: unknown parameter "messages.name"; did you mean "messages[].name"?',
        ),
        (
            route("drop_params: [messages]"),
            'config.yaml:5: routes[0].drop_params[0]: "messages" is required in every call',
        ),
        (
            route("headers: {Authorization: x}"),
            'config.yaml:5: routes[0].headers: "Authorization" would contain a secret; put keys into model.config',
        ),
        (route("headers: {Host: x}"), 'config.yaml:5: routes[0].headers: "Host" is set by the gateway'),
        (
            route('headers: {X-A: "a\\nb"}'),
            (
                "config.yaml:5: routes[0].headers.X-A: is not a valid header value; "
                "printable ASCII, no blank at either end"
            ),
        ),
        (
            route("ca_file: ca.pem"),
            (
                'config.yaml:5: routes[0].ca_file: file "ca.pem" does not exist; '
                "paths start at the config file's directory"
            ),
        ),
        (
            route("proxy: socks5://me:pw@proxy.example"),
            f"config.yaml:5: routes[0].proxy: {_URL}",
        ),
        (
            route() + "defaults: {timeout: 5}\n",
            'config.yaml:5: defaults: unknown key "timeout"; did you mean "timeouts"?',
        ),
    ],
)
def test_each_mistake_has_its_message(text: str, message: str) -> None:
    assert problems(text) == [message]

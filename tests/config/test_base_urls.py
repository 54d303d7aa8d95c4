"""A base URL that was copied from a provider's page, with the path of a call at its end."""

from __future__ import annotations

import pytest

from tests.config.loading import loaded, problems, route

KEY = "$OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("provider", "config", "base"),
    [
        ("openai", "openai_api_base: https://a/v1/chat/completions, openai_api_key: KEY", "https://a/v1"),
        ("openai", "openai_api_base: https://a/v1/completions/, openai_api_key: KEY", "https://a/v1"),
        ("openai-compatible", "base_url: https://a/v1/embeddings", "https://a/v1"),
        ("openai-compatible", "base_url: https://a/v1", "https://a/v1"),
        ("openai-compatible", "base_url: https://a/chat/completions", "https://a"),
        ("ollama", "base_url: http://localhost:11434/v1/chat/completions", "http://localhost:11434/v1"),
        ("anthropic", "anthropic_api_base: https://a/v1/messages, anthropic_api_key: KEY", "https://a/v1"),
        ("cohere", "cohere_api_base: https://a/v2/chat, cohere_api_key: KEY", "https://a"),
        ("databricks", "host: https://a/serving-endpoints/m/invocations, token: KEY", "https://a/serving-endpoints"),
        ("mlflow-model-serving", "model_server_url: http://localhost:5000/invocations", "http://localhost:5000"),
        ("mosaicml", "mosaicml_api_base: https://a/llama-2-m/v1/predict, mosaicml_api_key: KEY", "https://a"),
        ("azure", "base_url: https://a/openai/v1/chat/completions, api_key: KEY", "https://a/openai/v1"),
    ],
)
def test_the_path_of_the_call_is_taken_off(provider: str, config: str, base: str) -> None:
    name = "llama-2-m" if provider == "mosaicml" else "m"
    text = route(provider=provider, name=name, config=config.replace("KEY", KEY))
    assert loaded(text).routes["chat"].upstreams[0].base_url == base


@pytest.mark.parametrize(
    ("url", "more", "base", "query"),
    [
        ("https://a/openai/deployments/d%201/chat/completions?api-version=2024-10-21", "", "d%201", "2024-10-21"),
        ("https://a/openai/deployments/d", ", openai_api_version: 2024-10-21", "d", "2024-10-21"),
        ("https://a", ", openai_api_version: 2024-10-21", "m", "2024-10-21"),
        ("https://a/openai/deployments/d/?api-version=2024-10-21", ", openai_deployment_name: d", "d", "2024-10-21"),
    ],
)
def test_azures_target_uri_says_deployment_and_version(url: str, more: str, base: str, query: str) -> None:
    text = route(provider="azure", name="m", config=f"base_url: '{url}', api_key: $OPENAI_API_KEY{more}")
    (upstream,) = loaded(text).routes["chat"].upstreams
    assert upstream.base_url == f"https://a/openai/deployments/{base}"
    assert upstream.options["query"] == {"api-version": query}


def test_what_the_url_says_and_a_key_says_otherwise_is_an_error() -> None:
    url = "https://a/openai/deployments/d/chat/completions?api-version=2024-10-21"
    config = f"base_url: '{url}', api_key: {KEY}, openai_deployment_name: e, openai_api_version: '2023-05-15'"
    place = "config.yaml:4: routes[0].model.config."
    assert sorted(problems(route(provider="azure", config=config))) == [
        f"{place}openai_api_version: contradicts the base URL; remove one of the two",
        f"{place}openai_deployment_name: contradicts the base URL; remove one of the two",
    ]
    config = f"host: https://a/serving-endpoints/other/invocations, token: {KEY}"
    (problem,) = problems(route(provider="databricks", name="m", config=config))
    assert "host: is the URL of a call to another model than `name`" in problem

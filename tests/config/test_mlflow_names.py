"""Every provider of MLflow's YAML, by MLflow's names and keys: it loads, or the message says where to go."""

from __future__ import annotations

import pytest

from adapters.providers import ALIASES, PROVIDERS
from sidecar.config.upstream import GONE, NOT_YET
from tests.config.loading import loaded, problems, route

KEY = "$OPENAI_API_KEY"
# provider, model.config: the table of MLflow 2.5 to 3.17.
WORKS = [
    ("openai", f"openai_api_key: {KEY}, openai_api_base: https://api.openai.com/v1, openai_organization: o"),
    ("anthropic", f"anthropic_api_key: {KEY}, anthropic_version: 2023-06-01"),
    ("cohere", f"cohere_api_key: {KEY}"),
    ("mlflow-model-serving", "model_server_url: http://localhost:5001"),
    ("huggingface_text_generation_inference", "hf_server_url: http://localhost:8080"),
    ("mistral", f"mistral_api_key: {KEY}"),
    ("togetherai", f"togetherai_api_key: {KEY}"),
    ("gemini", f"gemini_api_key: {KEY}"),
    ("databricks", f"host: https://w.cloud.databricks.com, token: {KEY}"),
    ("databricks-model-serving", f"host: https://w.cloud.databricks.com, client_id: c, client_secret: {KEY}"),
    ("groq", f"api_key: {KEY}, api_base: https://api.groq.com/openai/v1"),
    ("deepseek", f"api_key: {KEY}"),
    ("xai", f"api_key: {KEY}"),
    ("openrouter", f"api_key: {KEY}"),
    ("ollama", ""),
    ("ollama", f"api_key: {KEY}, api_base: http://localhost:11434/v1"),
    ("azure", f"openai_api_key: {KEY}, openai_api_base: https://r.openai.azure.com, openai_api_version: 2024-10-21, "
              "openai_deployment_name: d, openai_api_type: azure"),
]  # fmt: skip
REFUSED = [
    "bedrock",
    "amazon-bedrock",
    "palm",
    "ai21labs",
    "portkey",
    "vertex_ai",
    "litellm",
    "sap-ai-core",
    "typesafe",
]


@pytest.mark.parametrize(("provider", "config"), WORKS)
def test_it_loads_with_mlflows_keys(provider: str, config: str) -> None:
    (upstream,) = loaded(route(provider=provider, config=config)).routes["chat"].upstreams
    name = provider.replace("_", "-")
    assert upstream.provider == ALIASES.get(name, name)


def test_mosaicml_loads_with_the_one_model_it_chats_with() -> None:
    text = route(provider="mosaicml", name="llama2-70b-chat", config=f"mosaicml_api_key: {KEY}")
    assert loaded(text).routes["chat"].upstreams[0].provider == "mosaicml"


@pytest.mark.parametrize("provider", REFUSED)
def test_what_is_not_here_says_so_by_name(provider: str) -> None:
    (problem,) = problems(route(provider=provider))
    name = provider.replace("_", "-")
    assert f'provider "{name}" is no' in problem
    assert ("; " in problem) is bool(GONE.get(name) or NOT_YET.get(name))


def test_every_row_that_needs_nothing_loads_with_nothing() -> None:
    for name, row in PROVIDERS.items():
        if row.base_url is not None and not row.key_required:
            (upstream,) = loaded(route(provider=f'"{name}"', config="")).routes["chat"].upstreams
            assert (upstream.base_url, upstream.key) == (row.base_url, None)

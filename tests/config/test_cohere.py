"""Cohere and Hugging Face: what their configs give."""

from __future__ import annotations

import pytest

from sidecar.domain.snapshot import Upstream
from tests.config.loading import loaded, problems, route

KEY = "cohere_api_key: $OPENAI_API_KEY"


def upstream(provider: str, config: str) -> Upstream:
    return loaded(route(provider=provider, config=config)).routes["chat"].upstreams[0]


@pytest.mark.parametrize(
    ("keys", "provider"),
    [("", "cohere"), (", cohere_api_version: v2", "cohere"), (", cohere_api_version: v1", "cohere-v1")],
)
def test_a_config_of_cohere_asks_for_the_older_version_by_a_key(keys: str, provider: str) -> None:
    made = upstream("cohere", KEY + keys)
    assert (made.provider, made.base_url) == (provider, "https://api.cohere.com")


def test_an_unknown_version_is_refused() -> None:
    (problem,) = problems(route(provider="cohere", config=f"{KEY}, cohere_api_version: v3"))
    assert problem == "config.yaml:4: routes[0].model.config.cohere_api_version: unknown version; known: v1, v2"


def test_the_input_type_of_embeddings_is_an_option_of_the_upstream() -> None:
    assert upstream("cohere", f"{KEY}, input_type: search_query").options == {"input_type": "search_query"}


def test_text_generation_inference_needs_an_address_and_no_key() -> None:
    made = upstream("huggingface-text-generation-inference", "hf_server_url: http://127.0.0.1:5000/generate/")
    assert (made.base_url, made.key) == ("http://127.0.0.1:5000", None)
    assert problems(route(provider="huggingface-text-generation-inference", config="{}")) != []

"""Providers as rows of data: a provider is a known format, an address, an auth scheme and its quirks. No code.

Quirks without another source were observed in recorded traffic from 2024 to 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters.contract import Provider, Task
from adapters.echo_names import PARTS
from adapters.strict_providers import (
    GEMINI_LEAVES,
    GROQ_LEAVES,
    IN_GROQS_TURNS,
    IN_MISTRALS_TURNS,
    LLAMA_CPP,
    LLAMA_CPP_LEAVES,
    MISTRAL_LEAVES,
    ONLY_REASONING,
)
from adapters.tool_ids import MISTRAL_IDS

# Config keys of every row of OpenAI's format below model.config; MLflow has api_base where OpenAI's SDK has base_url.
_KEYS = {"api_key": "api_key", "base_url": "base_url", "api_base": "base_url"}
_NO_EMBEDDINGS = frozenset({Task.CHAT, Task.COMPLETIONS})
# No /completions, or with another meaning (fill in the middle): completions become a chat with one user message.
_CHAT_ONLY: Mapping[str, Any] = MappingProxyType({"completions_api": "chat"})
# The newer of two names for a limit; these servers only know the older one, and several ignore unknown members.
_OLD_LIMIT = MappingProxyType({"max_completion_tokens": "max_tokens"})
# OpenAI's own models: almost all only support chat, and reasoning models refuse the older name of the limit.
_OPENAI_MODELS: Mapping[str, Any] = MappingProxyType(
    {
        "completions_api": "by_model",
        "completions_models": ("gpt-3.5-turbo-instruct", "davinci-002", "babbage-002"),
        "max_completion_tokens_models": ("o1", "o3", "o4", "gpt-5", "gpt-6"),
        "reasoning_effort_models": ("o1", "o3", "o4", "gpt-5", "gpt-6"),
    }
)
_OPENAI_KEYS = {
    "openai_api_key": "api_key",
    "openai_api_base": "base_url",
    "openai_organization": "header:OpenAI-Organization",
    "openai_project": "header:OpenAI-Project",
}
# MLflow configures Azure as provider openai with openai_api_type azure or azuread and these keys; ours are in
# addition.
_AZURE_KEYS = {
    "openai_api_key": "api_key",
    "api_key": "api_key",
    "openai_api_base": "base_url",
    "base_url": "base_url",
    "openai_api_type": "setting:api_type",
    "openai_api_version": "setting:api_version",
    "openai_deployment_name": "setting:deployment",
    "azure_tenant_id": "setting:tenant_id",
    "azure_client_id": "setting:client_id",
    "azure_client_secret": "secret:client_secret",
    "azure_managed_identity": "setting:managed_identity",
    "azure_scope": "setting:scope",
    "azure_token_url": "setting:token_url",
}
_COHERE_URL = "https://api.cohere.com"
# MLflow only has the key. Embeddings need input_type if the request does not set it.
_COHERE_KEYS = {"cohere_api_key": "api_key", "cohere_api_base": "base_url", "input_type": "option:input_type"}
_DATABRICKS_KEYS = {
    "host": "base_url",
    "token": "api_key",
    "client_id": "setting:client_id",
    "client_secret": "secret:client_secret",
    "token_url": "setting:token_url",
}


# The role developer is missing from its reference, or refused (DeepSeek): it gets system, which all of them support.
# Its models that accept reasoning_effort; others refuse it.
_GPT_OSS: Mapping[str, Any] = {"reasoning_effort_models": ("gpt-oss",)}
# Accepts reasoning_effort for every model, and ignores it if a model does not reason.
_OPENROUTER: Mapping[str, Any] = {"reasoning_details": True, "only_system": False, "reasoning_effort_models": ("",)}
_ONLY_SYSTEM: Mapping[str, Any] = {"only_system": True}


def _hosted(name: str, base_url: str, mlflow_key: str | None = None, **fields: Any) -> Provider:
    """A service with OpenAI's format. `mlflow_key` is the name of its key in MLflow's YAML."""
    own = {mlflow_key: "api_key"} if mlflow_key else {}
    fields["options"] = {**_ONLY_SYSTEM, **fields.get("options", {})}
    return Provider(name=name, format="openai", base_url=base_url, config_keys={**own, **_KEYS}, **fields)


def _server(name: str, port: int, **fields: Any) -> Provider:
    """A self-hosted model server with OpenAI's format, at its default port."""
    url = f"http://localhost:{port}/v1"
    fields["options"] = {**_ONLY_SYSTEM, "arguments_are_objects": True, **fields.get("options", {})}
    return Provider(name=name, format="openai", base_url=url, key_required=False, config_keys=_KEYS, **fields)


_ROWS = (
    Provider(
        name="openai",
        format="openai",
        base_url="https://api.openai.com/v1",
        config_keys=_OPENAI_KEYS,
        leaves=PARTS,
        options=_OPENAI_MODELS,
        also=("responses",),
    ),
    # Two forms of one API: a deployment's URL with api-version, and /openai/v1. sidecar/config/cloud.py tells them
    # apart.
    Provider(
        name="azure",
        format="openai",
        base_url=None,
        auth="api-key",
        config_keys=_AZURE_KEYS,
        leaves=PARTS,
        options=_OPENAI_MODELS,
        also=("responses",),
    ),
    Provider(
        name="anthropic",
        format="anthropic",
        base_url="https://api.anthropic.com",
        auth="x-api-key",
        config_keys={
            "anthropic_api_key": "api_key",
            "anthropic_api_base": "base_url",
            "anthropic_version": "header:anthropic-version",
        },
        headers=(("anthropic-version", "2023-06-01"),),
        options=_CHAT_ONLY,  # the old /v1/complete has been retired
    ),
    # Model serving. The endpoint's name is in the path; every chunk has usage, and stream_options is refused.
    Provider(
        name="databricks",
        format="openai",
        base_url=None,
        config_keys=_DATABRICKS_KEYS,
        include_usage=False,
        renamed=_OLD_LIMIT,
        options={"path": "/{model}/invocations", "usage_unasked": True},
    ),
    # Refuses unknown members, including stream_options; usage comes with the finish, without a request.
    _hosted(
        "mistral",
        "https://api.mistral.ai/v1",
        "mistral_api_key",
        include_usage=False,
        renamed={**_OLD_LIMIT, "seed": "random_seed"},
        leaves=MISTRAL_LEAVES,
        options={
            **_CHAT_ONLY,
            "usage_unasked": True,
            "tool_ids": MISTRAL_IDS,
            "refuses_empty_turns": True,
            "turns_know": IN_MISTRALS_TURNS,
        },
    ),
    _hosted(
        "groq",
        "https://api.groq.com/openai/v1",
        tasks=_NO_EMBEDDINGS,
        leaves=GROQ_LEAVES,
        options={**_CHAT_ONLY, **_GPT_OSS, "turns_know": IN_GROQS_TURNS},
    ),
    _hosted("together", "https://api.together.xyz/v1", "togetherai_api_key", include_usage=False, renamed=_OLD_LIMIT),
    _hosted(
        "deepseek",
        "https://api.deepseek.com",
        tasks=_NO_EMBEDDINGS,
        renamed=_OLD_LIMIT,
        options={**_CHAT_ONLY, "calls_want": "reasoning_content"},
    ),
    _hosted("xai", "https://api.x.ai/v1", options=_CHAT_ONLY),
    _hosted("openrouter", "https://openrouter.ai/api/v1", options=_OPENROUTER),
    _hosted("fireworks", "https://api.fireworks.ai/inference/v1", renamed=_OLD_LIMIT),
    # Its vectors are 8-bit integers in base64, which OpenAI's format cannot express.
    _hosted(
        "perplexity",
        "https://api.perplexity.ai",
        renamed=_OLD_LIMIT,
        tasks=_NO_EMBEDDINGS,
        options=_CHAT_ONLY,
    ),
    _hosted(
        "cerebras",
        "https://api.cerebras.ai/v1",
        tasks=_NO_EMBEDDINGS,
        leaves=ONLY_REASONING,
        options={**_GPT_OSS, "turns_know": IN_GROQS_TURNS},
    ),
    _hosted("nvidia", "https://integrate.api.nvidia.com/v1", renamed=_OLD_LIMIT),
    # Its OpenAI-compatible API; the native one is not supported yet.
    _hosted(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "gemini_api_key",
        leaves=GEMINI_LEAVES,
        options={
            **_CHAT_ONLY,
            "reasoning_effort_models": ("gemini-2.5", "gemini-3"),
            "calls_want": "thought_signature",
            "arguments_are_objects": True,
        },
    ),
    _hosted(
        "huggingface-router",
        "https://router.huggingface.co/v1",
        "huggingface_api_key",
        tasks=_NO_EMBEDDINGS,
        options=_CHAT_ONLY,
    ),
    Provider(
        name="cohere",
        format="cohere",
        base_url=_COHERE_URL,
        config_keys={**_COHERE_KEYS, "cohere_api_version": "setting:api_version"},
    ),
    # Version 1 of its API, for private deployments and older clouds. Also the result of provider cohere with
    # cohere_api_version: v1.
    Provider(name="cohere-v1", format="cohere-v1", base_url=_COHERE_URL, config_keys=_COHERE_KEYS),
    # The server needs no key, but an endpoint in front of it does. Before 2.0.3, its chat streams had no [DONE].
    Provider(
        name="huggingface-text-generation-inference",
        format="huggingface",
        base_url=None,
        key_required=False,
        config_keys={"hf_server_url": "base_url", "huggingface_api_key": "api_key"},
        renamed=_OLD_LIMIT,
        tasks=_NO_EMBEDDINGS,
    ),
    Provider(
        name="text-embeddings-inference",
        format="huggingface",
        base_url=None,
        key_required=False,
        config_keys={
            "hf_server_url": "base_url",
            "huggingface_api_key": "api_key",
            "embeddings_api": "option:embeddings_api",
        },
        tasks=frozenset({Task.EMBEDDINGS}),
    ),
    # A model served by `mlflow models serve`. MLflow's YAML has no key for it; a proxy in front may require one.
    Provider(
        name="mlflow-model-serving",
        format="mlflow",
        base_url=None,
        key_required=False,
        config_keys={"model_server_url": "base_url", "api_key": "api_key"},
    ),
    # The key is in the header without a scheme.
    Provider(
        name="mosaicml",
        format="mosaicml",
        base_url="https://models.hosted-on.mosaicml.hosting",
        auth="authorization",
        config_keys={"mosaicml_api_key": "api_key", "mosaicml_api_base": "base_url"},
    ),
    _server("ollama", 11434, renamed=_OLD_LIMIT),
    _server("vllm", 8000),
    _server("llama.cpp", 8080),
    _server("sglang", 30000),
    _server("lm-studio", 1234, renamed=_OLD_LIMIT),
    # Any server with OpenAI's HTTP API, such as a company's own.
    Provider(
        name="openai-compatible",
        format="openai",
        base_url=None,
        key_required=False,
        config_keys=_KEYS,
    ),
    # The model that `sidecar up` runs itself; the supervisor fills in its address.
    Provider(
        name="local",
        format="openai",
        base_url=None,
        auth="none",
        key_required=False,
        takes=LLAMA_CPP,
        leaves=LLAMA_CPP_LEAVES,
    ),
)

PROVIDERS: Mapping[str, Provider] = {row.name: row for row in _ROWS}

# Other names of a row: MLflow's, and common spellings. In lower case, with dashes.
ALIASES: Mapping[str, str] = {
    "togetherai": "together",
    "together-ai": "together",
    "azure-openai": "azure",
    "databricks-model-serving": "databricks",
    "llamacpp": "llama.cpp",
    "llama-cpp": "llama.cpp",
    "lmstudio": "lm-studio",
    "fireworks-ai": "fireworks",
    "huggingface-inference": "huggingface-router",
    "mistralai": "mistral",
}

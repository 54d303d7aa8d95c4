"""Providers as rows of data: a provider is a known format, an address, an auth scheme and its quirks. No code."""

from __future__ import annotations

from collections.abc import Mapping

from adapters._contract import Provider

_ROWS = (
    Provider(
        name="openai",
        format="openai",
        base_url="https://api.openai.com/v1",
        config_keys={
            "openai_api_key": "api_key",
            "openai_api_base": "base_url",
            "openai_organization": "header:OpenAI-Organization",
            "openai_project": "header:OpenAI-Project",
        },
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
    ),
    # Any server that speaks OpenAI's HTTP API: vLLM, llama.cpp, LM Studio, a company's own.
    Provider(
        name="openai-compatible",
        format="openai",
        base_url=None,
        key_required=False,
        config_keys={"api_key": "api_key", "base_url": "base_url"},
    ),
    # The model that `sidecar up` runs itself; the supervisor fills in its address.
    Provider(name="local", format="openai", base_url=None, auth="none", key_required=False),
)

PROVIDERS: Mapping[str, Provider] = {row.name: row for row in _ROWS}

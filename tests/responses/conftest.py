"""The routes that this folder's tests call; the fixtures are those of tests/stack/behind_both.py."""

from __future__ import annotations

import pytest

from tests.provider import Provider
from tests.stack.behind_both import healthy_simulator, simulator, stack, stacks
from tests.stack.stack import config_for

__all__ = ["healthy_simulator", "simulator", "stack", "stacks"]


def openai_route(name: str, provider: Provider, extra: str = "") -> str:
    config = f"{{openai_api_base: {provider.base_url}, openai_api_key: upstream-key}}"
    model = f"{{provider: openai, name: sim-chat, config: {config}}}"
    return f"  - name: {name}\n    route_type: llm/v1/chat\n    model: {model}\n" + (f"    {extra}\n" if extra else "")


@pytest.fixture(scope="session")
def config_of_doors(simulator: Provider) -> str:
    """Routes claude (provider anthropic), chat (openai-compatible), gpt (provider openai), and asked (the same, asked by
    Responses whoever calls)."""
    return config_for(
        simulator,
        openai_route("gpt", simulator),
        openai_route("asked", simulator, "chat_api: responses"),
    )

"""The routes that this folder's tests call; the fixtures are those of tests/stack/behind_both.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.provider import Provider
from tests.stack.behind_both import healthy_simulator, simulator, stack, stacks
from tests.stack.stack import Stack, config_for

ON = "responses: {remember: 1h}\n"
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


def config(simulator: Provider, responses: str = ON) -> str:
    return config_for(simulator, openai_route("gpt", simulator)) + responses


@pytest.fixture(scope="session")
def remembering(simulator: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stack]]:
    with ExitStack() as entered:
        yield {
            front: entered.enter_context(
                Stack(tmp_path_factory.mktemp(front), config(simulator), workers=workers, front=front)
            )
            for front, workers in (("nginx", 2), ("envoy", 1))
        }

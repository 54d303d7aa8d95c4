"""A running gateway behind each front, for the whole run: both have the same routes on one simulated provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provider import Provider
from tests.stack.stack import Stack, config_for

FRONTS = ("nginx", "envoy")


def openai_route(name: str, provider: Provider, extra: str = "") -> str:
    config = f"{{openai_api_base: {provider.base_url}, openai_api_key: upstream-key}}"
    model = f"{{provider: openai, name: sim-chat, config: {config}}}"
    return f"  - name: {name}\n    route_type: llm/v1/chat\n    model: {model}\n" + (f"    {extra}\n" if extra else "")


@pytest.fixture(scope="session")
def simulator() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[dict[str, Stack]]:
    """Two gateways with routes claude (provider anthropic), chat (openai-compatible), gpt (provider openai), and asked (the same,
    asked by Responses whoever calls)."""
    more = (openai_route("gpt", simulator), openai_route("asked", simulator, "chat_api: responses"))
    config = config_for(simulator, *more)
    nginx = Stack(tmp_path_factory.mktemp("nginx"), config, workers=1)
    envoy = Stack(tmp_path_factory.mktemp("envoy"), config, workers=1, front="envoy")
    with nginx as first, envoy as second:
        yield {"nginx": first, "envoy": second}


@pytest.fixture(params=FRONTS)
def stack(request: pytest.FixtureRequest, stacks: dict[str, Stack]) -> Stack:
    return stacks[request.param]


@pytest.fixture(autouse=True)
def healthy_simulator(simulator: Provider) -> Iterator[None]:
    """A script that a test leaves behind would be the next one's."""
    yield
    simulator.script = None

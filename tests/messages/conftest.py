"""A running gateway behind each front, for the whole run: both have the same routes on one simulated provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provider import Provider
from tests.stack.stack import Stack, config_for, route

FRONTS = ("nginx", "envoy")


@pytest.fixture(scope="session")
def simulator() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[dict[str, Stack]]:
    """Two gateways with routes claude (Anthropic's format), chat and gpt-5 (OpenAI's), cohere."""
    config = config_for(
        simulator,
        route("gpt-5", "chat", simulator, kind="openai", model="gpt-5"),
        route("cohere", "chat", simulator, kind="cohere"),
    )
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

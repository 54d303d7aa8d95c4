"""A running gateway behind each front, for the whole run: both have the same routes on one simulated provider.

A folder's conftest gives `config_of_doors`; its tests take `stack`, once behind each front, and `simulator`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provider import Provider
from tests.stack.stack import Stack

FRONTS = ("nginx", "envoy")


@pytest.fixture(scope="session")
def simulator() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory, config_of_doors: str) -> Iterator[dict[str, Stack]]:
    nginx = Stack(tmp_path_factory.mktemp("nginx"), config_of_doors, workers=1)
    envoy = Stack(tmp_path_factory.mktemp("envoy"), config_of_doors, workers=1, front="envoy")
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

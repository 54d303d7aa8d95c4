"""Running stacks for the tests of this folder: one on the embedded model for the whole run, one on a simulator for a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provider import Provider
from tests.stack.stack import Stack, config_for


@pytest.fixture(scope="session")
def model_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`sidecar up` with nothing said: SmolLM2, two workers, Nginx."""
    with Stack(tmp_path_factory.mktemp("model"), None) as stack:
        yield stack


@pytest.fixture(scope="module")
def simulator() -> Iterator[Provider]:
    """The provider behind `stack`, for the tests of one file."""
    with Provider() as running:
        yield running


@pytest.fixture(autouse=True)
def healthy_simulator(request: pytest.FixtureRequest) -> Iterator[None]:
    """A script that a test leaves behind would be the next one's."""
    yield
    if "simulator" in request.fixturenames:
        request.getfixturevalue("simulator").script = None


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Stack]:
    """Two workers and Nginx over the simulator: routes chat, completions, embeddings, claude."""
    with Stack(tmp_path_factory.mktemp("stack"), config_for(simulator)) as running:
        yield running

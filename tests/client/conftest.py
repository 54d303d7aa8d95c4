"""One stack over a simulator for this folder, and the entrances to it: both clients by each kind of target."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.entrances import ENTRANCES, Entrance
from tests.provider import Provider
from tests.stack.stack import Stack, route

# A test counts the provider's calls and makes them fail in a row: the gateway's own retries and breaker stay out of it.
_STILL = "retries: {budget: 0}\nbreaker: {consecutive_failures: 100000, calls_min: 100000}"
_ADMINS = """
manage_routes: true
consumers:
  - {name: local, local: true, roles: [admin]}
  - {name: operator, users: [sidecar], roles: [admin]}
"""


@pytest.fixture(scope="package")
def simulator() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(autouse=True)
def healthy_simulator(request: pytest.FixtureRequest) -> Iterator[None]:
    """A script that a test leaves behind would be the next one's."""
    yield
    if "simulator" in request.fixturenames:
        request.getfixturevalue("simulator").script = None


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Stack]:
    """Routes chat, completions, embeddings and claude; two workers, Nginx with TLS."""
    with Stack(tmp_path_factory.mktemp("client"), config(simulator)) as running:
        yield running
    simulator.wait_for(lambda provider: not provider.open_connections)  # its workers are gone, and so are their sockets


def config(simulator: Provider) -> str:
    """As config_for, with admins, and a failure of the provider is the caller's at once."""
    tasks = [route(task, task, simulator, extra=_STILL) for task in ("chat", "completions", "embeddings")]
    return "".join(["routes:\n", *tasks, route("claude", "chat", simulator, kind="anthropic", extra=_STILL), _ADMINS])


@pytest.fixture(params=ENTRANCES)
def entrance(request: pytest.FixtureRequest, stack: Stack) -> Entrance:
    return Entrance(request.param, stack)

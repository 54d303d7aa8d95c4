"""A gateway behind Nginx with a route of each provider, for the whole run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.clients.double import reply
from tests.clients.running import Results, run
from tests.clients.table import CLIENTS, Client
from tests.provider import Provider
from tests.stack.stack import Stack


def config(provider: Provider) -> str:
    """Providers openai and anthropic on the double, and the embedded model."""
    openai = f"{{openai_api_base: {provider.base_url}, openai_api_key: sk-double}}"
    anthropic = f"{{anthropic_api_base: {provider.root_url}, anthropic_api_key: sk-ant-double}}"
    rows = [
        ("gpt", "chat", "openai", "gpt-5-mini", openai),
        ("claude", "chat", "anthropic", "claude-sonnet-4-5", anthropic),
        ("embeddings", "embeddings", "openai", "text-embedding-3-small", openai),
        ("local", "chat", "local", "smollm2", "{}"),
        ("local-embeddings", "embeddings", "local", "smollm2", "{}"),
    ]
    lines = [
        f"  - {{name: {name}, route_type: llm/v1/{task}, model: {{provider: {kind}, name: {model}, config: {settings}}}}}\n"
        for name, task, kind, model, settings in rows
    ]
    return "routes:\n" + "".join(lines)


@contextmanager
def serving(folder: Path) -> Iterator[Stack]:
    """The gateway, until the block ends."""
    with Provider(script=reply) as provider, Stack(folder, config(provider), workers=1) as stack:
        yield stack


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(tmp_path_factory.mktemp("gateway")) as stack:
        yield stack


@pytest.fixture(scope="session")
def ran(gateway: Stack, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Client], Results]:
    """What came of a client's checks. Each client runs once."""

    @cache
    def results(client_id: str) -> Results:
        client = next(each for each in CLIENTS if each.id == client_id)
        return run(client, gateway, tmp_path_factory.mktemp(client.id))

    return lambda client: results(client.id)

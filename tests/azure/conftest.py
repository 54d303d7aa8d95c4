"""The routes that this folder's tests call; the fixtures are those of tests/stack/behind_both.py."""

from __future__ import annotations

import pytest

from tests.provider import Provider
from tests.stack.behind_both import healthy_simulator, simulator, stack, stacks
from tests.stack.stack import config_for, route

__all__ = ["healthy_simulator", "simulator", "stack", "stacks"]


@pytest.fixture(scope="session")
def config_of_doors(simulator: Provider) -> str:
    """Routes chat, completions, embeddings, claude (Anthropic's format), and one with a slash in its name."""
    return config_for(simulator, route("team/gpt", "chat", simulator, kind="openai"))

"""Environments with released clients of the Messages API, locked; `python -m tests.messages.environments` resolves them anew."""

from __future__ import annotations

from pathlib import Path

from tests import environments
from tests.environments import Environment

CLIENTS = Path(__file__).parent / "clients"
_LOCK = CLIENTS / "anthropic.txt"


def python_sdk() -> Environment:
    """Anthropic's Python SDK."""
    return environments.environment("anthropic-python", _LOCK)


def node_sdk() -> Path:
    """node_modules with Anthropic's Node SDK."""
    return environments.node_modules("anthropic-node", CLIENTS / "anthropic")


def claude_code() -> Path:
    """node_modules with Claude Code."""
    return environments.node_modules("claude-code", CLIENTS / "claude-code")


if __name__ == "__main__":
    environments.resolve(_LOCK, ("anthropic==2.14.0",))

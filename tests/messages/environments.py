"""Environments with released clients of the Messages API, locked; `python -m tests.messages.environments` resolves them anew."""

from __future__ import annotations

from pathlib import Path

from tests import environments
from tests.environments import Environment

CLIENTS = Path(__file__).parent / "clients"
_LOCK = CLIENTS / "anthropic.txt"
_FRAMEWORKS = CLIENTS / "frameworks.txt"


def python_sdk() -> Environment:
    """Anthropic's Python SDK."""
    return environments.environment("anthropic-python", _LOCK)


def node_sdk() -> Path:
    """node_modules with Anthropic's Node SDK."""
    return environments.node_modules("anthropic-node", CLIENTS / "anthropic")


def frameworks() -> Environment:
    """LangChain, LiteLLM and Pydantic AI, with what they speak Messages by."""
    return environments.environment("messages-frameworks", _FRAMEWORKS)


def ai_sdk() -> Path:
    """node_modules with the AI SDK and its Anthropic provider."""
    return environments.node_modules("messages-ai-sdk", CLIENTS / "ai-sdk")


def claude_code() -> Path:
    """node_modules with Claude Code."""
    return environments.node_modules("claude-code", CLIENTS / "claude-code")


if __name__ == "__main__":
    environments.resolve(_LOCK, ("anthropic==2.14.0",))
    environments.resolve(
        _FRAMEWORKS,
        ("anthropic==2.14.0", "langchain-anthropic==1.7.10", "litellm", "pydantic-ai-slim[anthropic]==2.68.0"),
    )

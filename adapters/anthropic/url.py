"""Where an upstream's Messages API is."""

from __future__ import annotations

from adapters.contract import Target


def messages_url(target: Target) -> str:
    """Some configurations write the base URL with its /v1, as OpenAI's has it."""
    base = target.base_url.rstrip("/")
    return f"{base}/messages" if base.endswith("/v1") else f"{base}/v1/messages"

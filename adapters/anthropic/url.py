"""The URL of an upstream's Messages API."""

from __future__ import annotations

from adapters.contract import Target


def messages_url(target: Target) -> str:
    """Some configurations include /v1 in the base URL, as for OpenAI."""
    base = target.base_url.rstrip("/")
    return f"{base}/messages" if base.endswith("/v1") else f"{base}/v1/messages"

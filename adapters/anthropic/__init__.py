"""Anthropic's Messages API, provider side (https://docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

from adapters._contract import Format, Headers
from adapters._errors import GatewayError, Kind


def _error(status: int, headers: Headers, body: bytes) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_UNAVAILABLE, f"the provider answered {status}", status=status)


FORMAT = Format(name="anthropic", client={}, provider={}, error=_error)

"""The provider's bytes as the gateway reads them: none that arrived is lost."""

from __future__ import annotations

import pytest

from adapters import GatewayError, HttpCall, Kind
from sidecar.domain.snapshot import Timeouts, Upstream
from sidecar.upstream import UpstreamClient
from tests.provider import End, Provider, Reply
from tests.provider.reply import Framing


async def test_what_came_before_a_broken_connection_is_read_before_the_failure(provider: Provider) -> None:
    """The reader was busy elsewhere when both came."""
    gate = provider.gate()
    provider.script = lambda call: Reply(parts=[b"one", gate, b"two"], framing=Framing.CHUNKED, end=End.CUT)
    client = UpstreamClient()
    upstream = Upstream("openai-compatible", "sim", provider.base_url, None, (), {})
    call = HttpCall(method="POST", url=f"{provider.base_url}/chat/completions", body=b"{}", headers=())
    try:
        response = await client.open(call, upstream, (), Timeouts())
        assert await response.read_some() == b"one"
        gate.open()
        await provider.until(lambda p: not p.open_connections)
        assert await response.read_some() == b"two"
        with pytest.raises(GatewayError) as broken:
            await response.read_some()
        assert broken.value.kind is Kind.UPSTREAM_INTERRUPTED
        response.close()
    finally:
        await client.close()

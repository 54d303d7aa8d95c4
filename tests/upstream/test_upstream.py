"""The provider's bytes as the gateway reads them: none that arrived is lost."""

from __future__ import annotations

import aiohttp
import pytest

from adapters import HttpCall, Kind
from sidecar.domain.snapshot import Timeouts, Upstream
from sidecar.upstream.http import UpstreamClient, read_failure
from tests.processes import reached
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
        await reached(lambda: response._response.content.exception() is not None, what="the break")
        assert await response.read_some() == b"two"
        with pytest.raises(aiohttp.ClientPayloadError) as broken:
            await response.read_some()
        assert read_failure(broken.value).kind is Kind.UPSTREAM_INTERRUPTED
        response.close()
    finally:
        await client.close()

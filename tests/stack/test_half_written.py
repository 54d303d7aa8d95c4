"""A user whom no consumer names, while the config is written slowly: it sees no route at any moment."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.config.half import WRITERS
from tests.processes import reached
from tests.provider import Provider
from tests.stack.stack import Stack, config_for

pytestmark = pytest.mark.slow
# The gateway took the half after 0.1 s when it still did that.
PAUSE_S = 0.6
CONSUMERS = "consumers:\n  - name: team\n    users: [alice]\n"


async def test_no_route_appears_while_the_file_has_its_routes_and_not_yet_its_consumers(
    tmp_path: Path, provider: Provider
) -> None:
    routes = config_for(provider)
    with Stack(tmp_path, routes + CONSUMERS) as stack:
        async with stack.async_http() as http:

            async def sees() -> int:
                return len((await http.get("/v1/models")).raise_for_status().json()["data"])

            async def pause() -> None:
                end_s = time.monotonic() + PAUSE_S
                while time.monotonic() < end_s:
                    assert await sees() == 0

            for number, writer in enumerate(WRITERS):
                taken = stack.metric("sidecar_config_reloads_total", result="success")
                await writer(stack.config, f"{routes}{CONSUMERS}# {number}\n", len(routes), pause)
                await reached(lambda: stack.metric("sidecar_config_reloads_total", result="success") > taken)  # noqa: B023
            assert await sees() == 0
            stack.config.write_text(routes)
            stack.process.send(signal.SIGHUP)
            taken += 1
            await reached(lambda: stack.metric("sidecar_config_reloads_total", result="success") > taken)
            assert await sees() == 4, "the check can see routes"

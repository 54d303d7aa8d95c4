"""Large bodies through both fronts: what a worker keeps of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psutil
import pytest

from tests.processes import reached
from tests.provider import Provider
from tests.scale import scaled
from tests.stack.stack import Stack, config_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MB = 1_000_000
# The fronts take 32 MiB.
LARGE_BYTES = 31 * MB
AT_ONCE = scaled(8, minimum=3)
KEPT_BYTES_MAX = 250 * MB if AT_ONCE == 8 else 130 * MB


@pytest.mark.parametrize("front", ["nginx", "envoy"])
async def test_a_worker_keeps_little_of_large_bodies_that_came_at_once(
    tmp_path: Path, provider: Provider, front: str
) -> None:
    picture = {
        "type": "image_url",
        "image_url": {"url": f"data:image/png;base64,{'iVBORw0KGgo0' * (LARGE_BYTES // 12)}"},
    }
    body = json.dumps({"model": "chat", "messages": [{"role": "user", "content": [picture]}]}).encode()
    with Stack(tmp_path, config_for(provider), front=front, workers=1) as stack:
        worker = psutil.Process(stack.worker_pids[0])
        async with stack.async_http(timeout_s=300.0) as http:

            async def call() -> int:
                headers = {"content-type": "application/json"}
                return (await http.post("/v1/chat/completions", content=body, headers=headers)).status_code

            assert await asyncio.gather(*(call() for _ in range(AT_ONCE))) == [200] * AT_ONCE
        await reached(lambda: worker.memory_info().rss <= KEPT_BYTES_MAX, what=f"a worker of {KEPT_BYTES_MAX // MB} MB")
        print(f"\n{front}: {AT_ONCE} bodies of 31 MB at once, then {worker.memory_info().rss // MB} MB")

"""1,000 requests, 32 in flight, across 50 changes of the config, a third of them broken: none fails."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.cli.running import Running, config_for
from tests.processes import reached
from tests.provider import Provider
from tests.scale import scaled

pytestmark = pytest.mark.slow
_IN_FLIGHT = 32
_REQUESTS = scaled(1000, minimum=200)
_RELOADS = scaled(50, minimum=9)


async def test_no_request_fails_while_the_config_changes(tmp_path: Path, provider: Provider) -> None:
    good = config_for(provider.base_url)
    with Running("up", tmp_path, good) as gateway:
        changed = asyncio.Event()
        asked = asyncio.create_task(_load(gateway, changed))
        for number in range(_RELOADS):
            broken = number % 3 == 2
            text = good.replace("route_type", "rout_type") if broken else good
            gateway.config.write_text(f"{text}# change {number}\n")
            said = "the old one stays" if broken else " in use: 3 routes"
            count = sum((other % 3 == 2) == broken for other in range(number + 1))
            await reached(lambda said=said, count=count: gateway.child.output.count(said) == count)  # type: ignore[misc]
        changed.set()
        answers = await asked
        assert set(answers) == {200}, answers
        assert answers[200] >= _REQUESTS
        assert gateway.call("routes").returncode == 0
        assert (await asyncio.to_thread(gateway.child.stop)) == 0


async def _load(gateway: Running, changed: asyncio.Event) -> Counter[int | str]:
    """Asks until `changed`, and _REQUESTS times at least; counts statuses and what broke."""
    env, answers = gateway.env, Counter[int | str]()
    body = {"model": "chat", "messages": [{"role": "user", "content": "Say something."}]}
    headers = {"authorization": f"Bearer {env['SIDECAR_API_KEY']}"}
    trust = ssl.create_default_context(cafile=env["SIDECAR_CA"])
    async with httpx.AsyncClient(base_url=env["SIDECAR_URL"], verify=trust, headers=headers, timeout=30) as client:

        async def ask() -> None:
            while not changed.is_set() or answers.total() < _REQUESTS:
                try:
                    answers[(await client.post("/v1/chat/completions", json=body)).status_code] += 1
                except httpx.HTTPError as error:
                    answers[repr(error)] += 1

        await asyncio.gather(*(ask() for _ in range(_IN_FLIGHT)))
    return answers

"""Large prompts, as hard to search as can be, do not hold up the calls of others on the same worker."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from tests.provider import Provider
from tests.worker.running import WorkerProcess, default_routes
from tests.worker.test_rest import chat, post

MB = 1_000_000
# A small call takes some 5 ms; by the old search it waited for minutes.
_SMALL_S = 3.0
_HARD = ("sk-ant-api03-", "xoxb-", "sk-", "\\u0073k-", "word ")


def _body(unit: str, size: int) -> bytes:
    text = unit * (size // len(unit))
    return b'{"model":"chat","messages":[{"role":"user","content":"%b"}]}' % text.encode()


async def _slowest_s(worker: WorkerProcess, until: asyncio.Future[Any]) -> tuple[float, int]:
    """Of small calls, one after another, for as long as the others are under way: the slowest, and how many there were."""
    slowest_s, count = 0.0, 0
    while not until.done():
        began_s = time.monotonic()
        assert (await post(worker, "ChatCompletions", chat())).status == 200
        slowest_s, count = max(slowest_s, time.monotonic() - began_s), count + 1
    return slowest_s, count


@pytest.mark.parametrize("unit", _HARD)
async def test_four_prompts_of_many_key_beginnings_do_not_delay_others(provider: Provider, unit: str) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        await post(worker, "ChatCompletions", chat())
        large = asyncio.gather(*(post(worker, "ChatCompletions", _body(unit, 1_500_000)) for _ in range(4)))
        slowest_s, count = await _slowest_s(worker, large)
        assert [answer.status for answer in await large] == [200] * 4
        assert count > 4
        assert slowest_s < _SMALL_S


async def test_small_calls_are_served_while_a_prompt_of_the_greatest_size_is_searched(provider: Provider) -> None:
    """What the search adds to the slowest of them, as a ratio: with and without it, in one run."""
    searched = default_routes(provider.base_url)
    slowest_s = {}
    for mode, routes in (("refuse", searched), ("off", replace(searched, secrets_in_prompts="off"))):
        async with WorkerProcess(routes) as worker:
            await post(worker, "ChatCompletions", chat())
            large = asyncio.ensure_future(post(worker, "ChatCompletions", _body("sk-ant-api03-", 30 * MB)))
            slowest_s[mode], _ = await _slowest_s(worker, large)
            assert large.result().status == 200
    assert slowest_s["refuse"] < 3 * slowest_s["off"] + 0.3


async def test_a_caller_that_leaves_ends_the_search(provider: Provider) -> None:
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        await post(worker, "ChatCompletions", chat())
        seen = len(provider.calls)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await post(worker, "ChatCompletions", _body("\\u0073k-", 30 * MB))
        assert json.loads((await post(worker, "ChatCompletions", chat())).body)
        assert len(provider.calls) == seen + 1

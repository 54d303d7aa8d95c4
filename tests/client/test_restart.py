"""A client that is kept while the gateway replaces its workers: its connections are let go, its calls are not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping

import pytest
from llm_gateway_client import AsyncClient, SidecarError

from tests.client.entrances import Entrance
from tests.processes import reached
from tests.stack.stack import Stack

pytestmark = pytest.mark.slow
REPLACED = "2 new workers are serving"
REPLACE_S = 60.0
TARGETS = ("stub", "unix", "grpcs", "rest")
CALLS_AFTER = 8  # of each client: its four connections have all been used


async def test_no_call_fails_while_the_workers_are_replaced(stack: Stack) -> None:
    done = asyncio.Event()
    answered = dict.fromkeys(TARGETS, 0)
    failed: list[tuple[str, SidecarError]] = []

    async def calling(target: str, client: AsyncClient) -> None:
        async with client:
            while not done.is_set():
                try:
                    await client.chat("chat", "x")
                    async with client.stream_chat("chat", "x") as stream:
                        assert [chunk async for chunk in stream]
                except SidecarError as error:
                    failed.append((target, error))
                answered[target] += 1

    tasks = [asyncio.create_task(calling(each, Entrance(f"async-{each}", stack).asynchronous())) for each in TARGETS]
    try:
        await _more_calls(answered, {})
        before = stack.process.output.count(REPLACED)
        stack.process.send(signal.SIGUSR2)
        await reached(lambda: stack.process.output.count(REPLACED) > before, REPLACE_S, "new workers")
        await _more_calls(answered, answered)
    finally:
        done.set()
        await asyncio.gather(*tasks)
    assert failed == []


async def _more_calls(answered: Mapping[str, int], before: Mapping[str, int]) -> None:
    wanted = {target: before.get(target, 0) + CALLS_AFTER for target in TARGETS}
    await reached(lambda: all(answered[each] >= wanted[each] for each in TARGETS), REPLACE_S, "more answers")

"""The home pages of two gateways that share a store show what is left over both, and say so when that is not known."""

from __future__ import annotations

import re
from contextlib import ExitStack
from html import unescape
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.stack import Stack
from tests.store.servers import RedisProcess
from tests.store.test_gateways import config

pytestmark = pytest.mark.slow


def limits_of(stack: Stack) -> list[str]:
    """The words of each limit and budget on the page, first the limits."""
    with stack.http() as http:
        page = http.get("/").text
    found = re.search('<section [^>]*id="limits".*?</section>', page, re.DOTALL)
    assert found is not None
    return [
        " ".join(unescape(re.sub("<[^>]+>", " ", each)).split())
        for each in re.findall("<li>.*?</li>", found[0], re.DOTALL)
    ]


def test_what_is_left_is_that_of_all_gateways(provider: Provider, redis: RedisProcess, tmp_path: Path) -> None:
    text = config(provider, redis).replace("price: {input: 100, output: 100}", "price: {input: 9000, output: 9000}")
    with ExitStack() as exits:
        stacks = []
        for name in "ab":
            (tmp_path / name).mkdir()
            stacks.append(exits.enter_context(Stack(tmp_path / name, text, workers=1)))
        ask = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
        tokens = 0
        for stack, calls in zip(stacks, (3, 2), strict=True):
            with stack.http() as http:
                for _ in range(calls):
                    tokens += http.post("/v1/chat/completions", json=ask).json()["usage"]["total_tokens"]
        for stack in stacks:
            wait_until(lambda it=stack: "3 left" in limits_of(it)[0], 20)  # type: ignore[misc]
            assert limits_of(stack)[0].startswith('8 requests per day route "chat" 3 left ')
        left = f"${100 - 0.009 * tokens:.2f} left"
        for stack in stacks:
            wait_until(lambda it=stack: left in limits_of(it)[1], 20)  # type: ignore[misc]
        redis.kill()
        words = '8 requests per day route "chat" not known the shared store is down'
        wait_until(lambda: limits_of(stacks[0])[0] == words, 20)

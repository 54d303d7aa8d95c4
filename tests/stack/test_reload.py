"""The config changes again and again under load, a third of the time into a broken file: nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.running import config_for
from tests.processes import reached
from tests.provider import Provider
from tests.scale import scaled
from tests.stack.load import Callers, closed_loop, lost
from tests.stack.seen import Page, Watch, page, page_where
from tests.stack.stack import Stack

pytestmark = pytest.mark.slow
REQUESTS = scaled(1000, minimum=200)
IN_FLIGHT = 32
# Four ways of changing a file, good and broken: twelve changes show each at least once.
RELOADS = scaled(50, minimum=12)
SEEN_S = 15.0
# How a file breaks: half-written YAML, a key nobody knows, a provider nobody knows, nothing at all, a secret that is not there.
BROKEN = (
    "routes:\n  - name: [chat\n",
    "routes:\n  - name: chat\n    rout_type: llm/v1/chat\n",
    "routes:\n  - name: chat\n    route_type: llm/v1/chat\n    model: {provider: opnai, name: x}\n",
    "",
    "routes:\n  - name: chat\n    route_type: llm/v1/chat\n"
    "    model: {provider: openai, name: x, config: {openai_api_key: $NOT_SET_ANYWHERE}}\n",
)


def by_writing(config: Path, text: str, _: Stack) -> None:
    config.write_text(text)


def by_mv(config: Path, text: str, _: Stack) -> None:
    fresh = config.with_name("fresh.yaml")
    fresh.write_text(text)
    fresh.replace(config)


def by_symlink_swap(config: Path, text: str, _: Stack) -> None:
    """As Kubernetes updates a ConfigMap: config.yaml -> ..data/config.yaml, ..data -> a directory of its own each time."""
    folder = config.parent
    number = sum(1 for _ in folder.glob("..version-*"))
    version = folder / f"..version-{number}"
    version.mkdir()
    (version / "config.yaml").write_text(text)
    fresh = folder / "..data.new"
    fresh.symlink_to(version.name)
    fresh.replace(folder / "..data")
    if not config.is_symlink():
        link = folder / "config.link"
        link.symlink_to("..data/config.yaml")
        link.replace(config)


def by_sighup(config: Path, text: str, stack: Stack) -> None:
    config.write_text(text)
    stack.process.send(signal.SIGHUP)


ENTRANCES: tuple[Callable[[Path, str, Stack], None], ...] = (by_writing, by_mv, by_symlink_swap, by_sighup)


@dataclass
class Changer:
    """Changes the file and waits until the gateway has said what it makes of it."""

    stack: Stack
    good: str
    hash: str = ""  # of the last good file
    taken: int = 0
    refused: int = 0
    entrances: list[str] = field(default_factory=list)

    async def change(self, number: int) -> None:
        broken = number % 3 == 2
        text = BROKEN[number // 3 % len(BROKEN)] if broken else self.good
        entrance = ENTRANCES[number % len(ENTRANCES)]
        self.entrances.append(f"{entrance.__name__}{' broken' * broken}")
        entrance(self.stack.config, f"{text}# change {number}\n", self.stack)
        before = (self.taken, self.refused)
        now = await page_where(self.stack.env, lambda now: _counted(now) != before, SEEN_S)
        if entrance is by_sighup:  # the change itself and the signal may be seen apart
            now = await self._settled(now)
        taken, refused = _counted(now)
        assert (taken == before[0]) is broken, f"change {number} ({self.entrances[-1]}): {before} -> {(taken, refused)}"
        assert (refused > before[1]) is broken
        self.taken, self.refused = taken, refused
        if broken:
            assert _hash(now) == self.hash, "the last good config stays"
        self.hash = _hash(now)

    async def _settled(self, now: Page) -> Page:
        """A page that says the same as the one before, twice over the watcher's quiet time."""
        while True:
            await asyncio.sleep(0.5)  # nothing tells that nothing more will come
            then, now = now, await page(self.stack.env)
            if _counted(then) == _counted(now):
                return now


def _counted(now: Page) -> tuple[int, int]:
    results = now.by("sidecar_config_reloads_total", "result")
    return int(results["success"]), int(results["failure"])


def _hash(now: Page) -> str:
    (found,) = now.by("sidecar_config_info", "hash")
    return found


async def test_no_request_fails_across_reloads_of_which_a_third_are_broken(tmp_path: Path, provider: Provider) -> None:
    good = config_for(provider.base_url)
    with Stack(tmp_path, good) as stack:
        changer = Changer(stack, good, hash=_hash(await page(stack.env)))
        changed = asyncio.Event()
        async with Callers(stack.env) as callers, Watch(stack.env) as watch:
            asks: list[Callable[[], Awaitable[str]]] = [
                callers.rest, callers.rest_fresh, callers.rest_stream, callers.local, callers.front, callers.local_stream
            ]  # fmt: skip
            load = asyncio.create_task(closed_loop(asks, IN_FLIGHT, REQUESTS, changed))
            for number in range(RELOADS):
                await changer.change(number)
            changed.set()
            counts = await load
        print(
            f"\n{RELOADS} changes: {changer.taken} taken, {changer.refused} refused, {counts.total()} calls: {counts}"
        )
        assert not lost(counts)
        assert not watch.faults
        assert counts.total() >= REQUESTS
        assert changer.taken >= RELOADS - RELOADS // 3
        assert changer.refused >= RELOADS // 3
        now = await page_where(stack.env, lambda now: now.total("sidecar_in_flight") == 0)
        assert now.total("sidecar_requests_total", outcome="ok") == counts.total()
        assert now.total("sidecar_worker_restarts_total") == 0
        assert stack.stop() == 0


async def test_a_reload_is_what_the_next_call_meets_and_calls_under_way_keep_theirs(
    tmp_path: Path, provider: Provider
) -> None:
    held = config_for(provider.base_url).replace("sim-chat", '"sim:tokens=6,gate=hold,gate_at=3"')
    gate = provider.gate("hold")
    with Stack(tmp_path, held) as stack:
        async with Callers(stack.env) as callers:
            under_way = [asyncio.create_task(callers.rest_stream()), asyncio.create_task(callers.local_stream())]
            await reached(lambda: gate.waiting == 2)
            first = _hash(await page(stack.env))
            stack.config.write_text(config_for(provider.base_url))
            await page_where(stack.env, lambda now: _hash(now) != first)
            # Both workers have it by then: the metric follows their word.
            for _ in range(8):
                assert await callers.rest() == "ok"
            gate.open()
            assert await asyncio.gather(*under_way) == ["ok", "ok"]
    models = [call.json["model"] for call in provider.calls]
    assert models[2:] == ["sim-chat"] * 8


async def test_a_secret_file_that_changes_is_a_reload(tmp_path: Path, provider: Provider) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-first-0123456789\n")
    line = f"{{base_url: {provider.base_url}, api_key: 'file:{secret}'}}"
    config = config_for(provider.base_url).replace(f"{{base_url: {provider.base_url}}}", line)
    with Stack(tmp_path, config) as stack:
        async with Callers(stack.env) as callers:
            assert await callers.rest() == "ok"
            fresh = tmp_path / "key.new"
            fresh.write_text("sk-second-0123456789\n")
            os.replace(fresh, secret)
            await page_where(stack.env, lambda now: _counted(now) == (1, 0))
            assert await callers.local() == "ok"
    assert [call.key for call in provider.calls] == ["sk-first-0123456789", "sk-second-0123456789"]

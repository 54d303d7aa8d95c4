"""Gateways that are managed through the API and share a Redis: `sidecar serve` on state directories and configs of their own."""

from __future__ import annotations

import asyncio
import signal
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Self

import grpc.aio

from tests.processes import DEADLINE_S
from tests.provider import Provider
from tests.routes.managed import CONSUMERS, Caller, Managed, config_for
from tests.store.servers import RedisProcess

KEYS = {"key-a": "0123456789abcdef" * 4, "key-b": "fedcba9876543210" * 4}
DOCUMENTS, STATE = "{sidecar:default}managed:documents", "{sidecar:default}managed"
# The gateway's promise is one second; a machine that is busy with other tests gets more.
SEEN_S = 10.0
STOP_S = 60.0


def config_of(
    provider: Provider, redis: RedisProcess, *, key: str = "key-a", more: str = "", consumers: str = CONSUMERS
) -> str:
    """`key`: "" for none, or one of KEYS. `more`: further routes."""
    sealed = f"\n  encryption_key: file:{key}" if key else ""
    return (
        config_for(provider, more=more, consumers=consumers)
        + f'store:\n  redis: {{url: "{redis.url}/0"}}\n  timeout: 2s{sealed}\n'
    )


class Gateways:
    """async with Gateways(folder, [config, config]) as fleet: await fleet.boss(0).create(spec(...))"""

    def __init__(self, folder: Path, configs: Sequence[str]) -> None:
        self._folder = folder
        self._configs = list(configs)
        self._processes = [ExitStack() for _ in configs]
        self._callers = [AsyncExitStack() for _ in configs]
        self.hosts: list[Managed] = []
        self._bosses: list[Caller] = []
        self.slowest_s = 0.0

    async def __aenter__(self) -> Self:
        try:
            self.hosts = await asyncio.gather(
                *(asyncio.to_thread(self._made, each) for each in range(len(self._configs)))
            )
        except BaseException:
            await self.__aexit__()
            raise
        self._bosses = [await self._caller(number) for number in range(len(self.hosts))]
        return self

    async def __aexit__(self, *error: object) -> None:
        for callers, processes in zip(self._callers, self._processes, strict=True):
            await callers.aclose()
            processes.close()

    def boss(self, number: int) -> Caller:
        return self._bosses[number]

    async def stop(self, *numbers: int) -> None:
        for number in numbers:
            await self._callers[number].aclose()
            self.hosts[number].running.process.send(signal.SIGTERM)
        for number in numbers:
            assert await asyncio.to_thread(self.hosts[number].running.process.wait, STOP_S) == 0

    async def start(self, *numbers: int, config: str | None = None) -> None:
        """On the state directories that they had, side by side."""
        for number in numbers:
            self._configs[number] = config or self._configs[number]
        started = await asyncio.gather(*(asyncio.to_thread(self._made, number) for number in numbers))
        for number, host in zip(numbers, started, strict=True):
            self.hosts[number] = host
            self._bosses[number] = await self._caller(number)

    async def seen(self, what: Callable[[Caller], Awaitable[bool]], *numbers: int) -> None:
        """Returns once all of these gateways (none: all) say so; how long that took is in `slowest_s`."""
        began_s = time.monotonic()
        for number in numbers or range(len(self.hosts)):
            while not await what(self._bosses[number]):
                assert time.monotonic() - began_s < SEEN_S, f"gateway {number}: {self.hosts[number].log[-3000:]}"
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)

    async def have(self, name: str, model: str = "sim-chat", *numbers: int) -> None:
        await self.seen(lambda boss: has(boss, name, model), *numbers)

    async def lack(self, name: str, *numbers: int) -> None:
        async def gone(boss: Caller) -> bool:
            return name not in await boss.names()

        await self.seen(gone, *numbers)

    def metric(self, number: int, name: str) -> float:
        with urllib.request.urlopen(self.hosts[number].running.env["SIDECAR_METRICS"], timeout=DEADLINE_S) as page:
            lines = page.read().decode().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))

    def _made(self, number: int) -> Managed:
        folder = self._folder / f"host{number}"
        folder.mkdir(exist_ok=True)
        for name, key in KEYS.items():
            (folder / name).write_text(key)
        return self._processes[number].enter_context(Managed(folder, self._configs[number], "--workers", "1"))

    async def _caller(self, number: int) -> Caller:
        return await self._callers[number].enter_async_context(self.hosts[number].caller(0))


async def has(boss: Caller, name: str, model: str) -> bool:
    try:
        return (await boss.get(name)).model.name == model
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND, error
        return False

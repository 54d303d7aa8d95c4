"""Three gateways, their callers, a provider that counts what it bills, and what must agree at the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters import GatewayError
from sidecar.domain.snapshot import SharedStore, Snapshot
from sidecar.spend.ledger import route_key
from sidecar.store.operations import sum_name
from tests.limits.test_meter import answering
from tests.processes import reached
from tests.provider import Gate, Provider
from tests.store.hosts import Host
from tests.store.servers import RedisProcess

PREFIX = "{sidecar:default}1:"
HOSTS = 3


class Billing:
    """A provider's script: every answer has other usage, and is billed at PRICE of tests.limits.test_meter."""

    def __init__(self) -> None:
        self.micro_dollars = self.calls = self.tokens = 0
        self.gate: Gate | None = None  # answers wait for it
        self._chance = random.Random(11)

    def __call__(self, call: Any) -> Any:
        prompt, answer = self._chance.randrange(1, 40), self._chance.randrange(1, 400)
        self.calls += 1
        self.tokens += prompt + answer
        self.micro_dollars += prompt + 2 * answer
        usage = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
        return replace(answering(usage)(call), before=self.gate)


class Fleet:
    """async with Fleet(...) as fleet, fleet.calling(): await fleet.more(100)"""

    def __init__(self, provider: Provider, snapshot: Snapshot, store: SharedStore, folder: Path) -> None:
        self.billing = provider.script = Billing()
        self.outcomes: Counter[str] = Counter()
        self.slowest_refusal_s = 0.0
        self.last_away_s = 0.0
        self._hosts = [(snapshot, store, folder / f"host{number}") for number in range(HOSTS)]
        self._stack = AsyncExitStack()
        self.hosts: list[Host] = []

    async def __aenter__(self) -> Fleet:
        for each in self._hosts:
            self.hosts.append(await self._stack.enter_async_context(Host(*each)))
        await self.up()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    async def one(self, host: Host) -> str:
        """A call, and what became of it: ok, ok without the store, or the kind of its failure."""
        began_s = time.monotonic()
        try:
            answer = await host.gateway.unary(host.call())
        except GatewayError as error:
            self.slowest_refusal_s = max(self.slowest_refusal_s, time.monotonic() - began_s)
            found = error.kind.value
            headers = dict(error.headers)
        else:
            found, headers = "ok", dict(answer.headers)
        if "x-sidecar-store" in headers or found == "store_unavailable":
            self.last_away_s = time.monotonic()
            found = found if found == "store_unavailable" else f"{found} without the store"
        self.outcomes[found] += 1
        return found

    @asynccontextmanager
    async def calling(self, callers: int = 8) -> AsyncIterator[None]:
        """Inside the block callers of every host call one after the other; the last calls end with it."""
        over = asyncio.Event()

        async def caller(host: Host) -> None:
            while not over.is_set():
                await self.one(host)
                await asyncio.sleep(0.002)

        async with asyncio.TaskGroup() as group:
            for host in self.hosts * callers:
                group.create_task(caller(host))
            try:
                yield
            finally:
                over.set()

    async def more(self, calls: int) -> None:
        """Returns once so many more have ended."""
        target = self.outcomes.total() + calls
        await reached(lambda: self.outcomes.total() >= target, 30, f"{calls} more calls")

    async def up(self) -> None:
        """Returns once every host reaches the store."""
        for host in self.hosts:
            await reached(lambda host=host: host.is_up, 20, "the connection to the store")  # type: ignore[misc]

    async def agreed(self, redis: RedisProcess) -> None:
        """The store's counter, every archive, and the provider have the same sum; nothing is held."""
        await self.up()
        name = PREFIX + sum_name(route_key("chat"), "month")

        def counter() -> list[int]:
            return [int(each) for each in (redis.ask("GET", name) or b"0 0 0").split()[1:]]

        def all_agree() -> bool:
            booked = [host.booked() for host in self.hosts]
            sums = {each.micro_dollars for each in booked} | {counter()[0]}
            return sums == {self.billing.micro_dollars} and {each.calls for each in booked} == {self.billing.calls}

        try:
            await reached(all_agree, 20, what="agreement")
        except AssertionError:
            booked = [(host.booked().calls, host.booked().micro_dollars) for host in self.hosts]
            billed = (self.billing.calls, self.billing.micro_dollars)
            raise AssertionError(f"billed {billed}, counter {counter()}, archives {booked}, {self.outcomes}") from None
        await reached(lambda: counter()[1] == 0, 20, what="nothing held")
        await reached(lambda: redis.ask("HLEN", PREFIX + "open") == 0, 20, what="no reservation")

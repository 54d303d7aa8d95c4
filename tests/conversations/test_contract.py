"""What both memories do, that of a machine's disk and that of a store: one set of tests for the two."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from adapters import GatewayError, Kind
from sidecar.conversations import DiskMemory, Memory
from sidecar.conversations.store_memory import StoreMemory
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Remembering
from tests.processes import DEADLINE_S
from tests.store.hosts import shared
from tests.store.servers import RedisProcess

ALL = 2**40
KEY = Secret("0123456789abcdef" * 2)
OTHER_KEY = Secret("fedcba9876543210" * 2)
ADA, BOB = "ada", "bob"


class Settings:
    """As the config has them now."""

    def __init__(self) -> None:
        self.now: Remembering | None = Remembering(3600.0, encryption_key=KEY)

    def set(self, remember_s: float = 3600.0, *, all_max: int = 10**9, consumer_max: int = 10**9) -> None:
        self.now = Remembering(remember_s, all_max, consumer_max, KEY)

    def __call__(self) -> Remembering | None:
        return self.now


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest_asyncio.fixture(params=["disk", "store on 6.2", "store on 8.2"])
async def memories(
    request: pytest.FixtureRequest, tmp_path: Path, settings: Settings
) -> AsyncIterator[tuple[Memory, Memory]]:
    """Two workers': of one machine, or of two."""
    if request.param == "disk":
        both: tuple[Memory, Memory] = (DiskMemory(tmp_path, settings), DiskMemory(tmp_path, settings))
        yield both
        await asyncio.gather(*(each.close() for each in both))
        return
    with RedisProcess("6.2" if "6.2" in request.param else "8.2", tmp_path / "redis") as redis:
        both = (StoreMemory(shared(redis.port), settings), StoreMemory(shared(redis.port), settings))
        yield both
        await asyncio.gather(*(each.close() for each in both))


async def get(memory: Memory, owner: str, *ids: str, used: bool = False) -> dict[str, bytes]:
    return await memory.get(owner, ids, used=used, bytes_max=ALL)


async def test_what_one_keeps_the_other_finds_for_its_owner_alone(memories: tuple[Memory, Memory]) -> None:
    one, two = memories
    assert await one.put(ADA, "1", b"of ada")
    assert await two.put(ADA, "2", b"")
    assert await get(two, ADA, "1", "2", "3") == {"1": b"of ada", "2": b""}
    assert await get(one, BOB, "1", "2") == {}
    assert await get(one, ADA) == {}
    assert not await one.delete(BOB, "1")
    assert await two.delete(ADA, "1")
    assert not await one.delete(ADA, "1")
    assert await get(one, ADA, "1", "2") == {"2": b""}


async def test_a_record_that_is_put_again_is_the_new_one_and_counts_once(
    memories: tuple[Memory, Memory], settings: Settings
) -> None:
    settings.set(consumer_max=25_000)
    for memory in memories * 3:
        assert await memory.put(ADA, "1", os.urandom(10_000))
        assert await memory.put(ADA, "2", os.urandom(10_000))
    assert len(await get(memories[0], ADA, "1", "2")) == 2


async def test_the_ones_used_longest_ago_go_where_an_owner_has_too_much(
    memories: tuple[Memory, Memory], settings: Settings
) -> None:
    one, two = memories
    settings.set(consumer_max=45_000)
    assert await one.put(BOB, "0", os.urandom(10_000))
    for number in range(4):
        assert await one.put(ADA, str(number), os.urandom(10_000))
    await get(two, ADA, "0", used=True)
    await get(two, ADA, "1", used=False)
    assert await two.put(ADA, "4", os.urandom(20_000))
    assert sorted(await get(one, ADA, *map(str, range(5)))) == ["0", "3", "4"]
    assert await get(one, BOB, "0")
    assert not await one.put(ADA, "5", os.urandom(45_000))
    assert sorted(await get(one, ADA, *map(str, range(6)))) == ["0", "3", "4"]


async def test_the_ones_used_longest_ago_go_where_all_have_too_much(
    memories: tuple[Memory, Memory], settings: Settings
) -> None:
    settings.set(all_max=35_000)
    for number in range(6):
        assert await memories[number % 2].put(ADA if number % 2 else BOB, str(number), os.urandom(10_000))
    found = [*await get(memories[0], ADA, *map(str, range(6))), *await get(memories[0], BOB, *map(str, range(6)))]
    assert sorted(found) == ["3", "4", "5"]


async def test_many_small_ones_make_room_for_a_large_one(memories: tuple[Memory, Memory], settings: Settings) -> None:
    """More of them than a script of the store deletes at once."""
    settings.set(consumer_max=2_000_000)
    for start in range(0, 1_200, 100):
        numbers = range(start, start + 100)
        assert all(await asyncio.gather(*(memories[0].put(ADA, str(number), b"x") for number in numbers)))
    assert await memories[1].put(ADA, "large", os.urandom(1_950_000))
    assert "large" in await get(memories[0], ADA, "large")
    assert await memories[1].put(ADA, "small", b"x")


async def test_a_record_is_gone_when_its_time_is_over(memories: tuple[Memory, Memory], settings: Settings) -> None:
    one, two = memories
    assert await one.put(ADA, "1", b"x")
    settings.set(0.001)

    async with asyncio.timeout(DEADLINE_S):
        while await get(two, ADA, "1"):
            pass
    settings.set()
    assert await two.put(ADA, "2", b"y")
    assert await get(one, ADA, "2") == {"2": b"y"}


async def test_what_gets_large_once_it_is_open_is_not_opened(memories: tuple[Memory, Memory]) -> None:
    for id_ in ("1", "2"):
        assert await memories[0].put(ADA, id_, bytes(500_000))
    assert len(await memories[1].get(ADA, ["1", "2"], used=True, bytes_max=1_000_000)) == 2
    with pytest.raises(GatewayError) as refused:
        await memories[1].get(ADA, ["1", "2"], used=True, bytes_max=999_999)
    assert refused.value.kind is Kind.REQUEST_TOO_LARGE


async def test_another_key_opens_nothing_that_the_first_sealed(
    memories: tuple[Memory, Memory], settings: Settings
) -> None:
    one, two = memories
    assert await one.put(ADA, "1", b"x")
    settings.now = Remembering(3600.0, encryption_key=OTHER_KEY)
    assert await get(two, ADA, "1") == {}
    assert await two.put(ADA, "1", b"y")
    assert await get(one, ADA, "1") == {"1": b"y"}


async def test_records_of_many_megabytes_come_back_as_they_were(memories: tuple[Memory, Memory]) -> None:
    value = os.urandom(8_000_000)
    assert await memories[0].put(ADA, "1", value)
    assert await get(memories[1], ADA, "1") == {"1": value}

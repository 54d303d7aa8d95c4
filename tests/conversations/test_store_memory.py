"""Remembering in a store: what lies there, how it ends, and what callers get while the store is away or has lost it."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from adapters import GatewayError, Kind
from sidecar.conversations.store_memory import StoreMemory
from sidecar.domain.snapshot import Remembering
from tests.conversations.test_contract import ADA, ALL, KEY, OTHER_KEY, Settings
from tests.processes import DEADLINE_S, POLL_S, reached
from tests.store.hosts import shared
from tests.store.proxy import Proxy
from tests.store.servers import RedisProcess

PREFIX = "{sidecar:default}c1:"
SECRET = b"a word that nobody else says"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with RedisProcess("8.2", tmp_path / "redis") as running:
        yield running


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest_asyncio.fixture
async def memory(redis: RedisProcess, settings: Settings) -> AsyncIterator[StoreMemory]:
    memory = StoreMemory(shared(redis.port), settings)
    yield memory
    await memory.close()


async def found(memory: StoreMemory, *ids: str, used: bool = True) -> dict[str, bytes]:
    return await memory.get(ADA, ids, used=used, bytes_max=ALL)


async def is_there(memory: StoreMemory) -> bool:
    try:
        await found(memory)
    except GatewayError:
        return False
    return True


async def refusal(memory: StoreMemory) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        await found(memory, "1")
    return refused.value


async def test_nobody_can_tell_from_the_store_what_was_said_or_by_whom(
    redis: RedisProcess, memory: StoreMemory
) -> None:
    assert await memory.put("the-search-team", "resp_of_a_test", SECRET * 200)
    keys = redis.ask("KEYS", "*")
    assert len(keys) == 6  # the record, its sizes, the owner's, everybody's, the sums, which key it is
    written = b"".join([*keys, *(redis.ask("DUMP", key) for key in keys)])
    assert [
        word for word in (b"search-team", b"resp_of_a", b"nobody else", KEY.reveal().encode()) if word in written
    ] == []


async def test_the_store_itself_ends_what_nobody_uses_and_use_begins_its_time_again(
    redis: RedisProcess, memory: StoreMemory, settings: Settings
) -> None:
    """Also where every gateway is gone by then."""
    assert await memory.put(ADA, "1", SECRET)
    names = [key for key in redis.ask("KEYS", f"{PREFIX}?:*") if key[len(PREFIX) :][:2] in (b"d:", b"m:", b"o:")]
    assert len(names) == 3
    assert all(3_500_000 < redis.ask("PTTL", name) <= 3_600_000 for name in names)
    settings.set(7200.0)
    await found(memory, "1", used=False)
    assert all(redis.ask("PTTL", name) <= 3_600_000 for name in names)
    await found(memory, "1")
    assert all(7_100_000 < redis.ask("PTTL", name) <= 7_200_000 for name in names)


async def test_a_sweep_leaves_nothing_of_what_has_ended(
    redis: RedisProcess, memory: StoreMemory, settings: Settings
) -> None:
    for number in range(20):
        assert await memory.put(ADA, str(number), SECRET)
    settings.set(0.001)
    async with asyncio.timeout(DEADLINE_S):
        while await found(memory, *map(str, range(20)), used=False):
            pass
    memory.start()
    await reached(lambda: redis.ask("KEYS", f"{PREFIX}*") == [PREFIX.encode() + b"key"], what="an empty store")


async def test_a_store_that_was_emptied_has_nothing_and_takes_the_next(
    redis: RedisProcess, memory: StoreMemory
) -> None:
    assert await memory.put(ADA, "1", SECRET)
    redis.ask("FLUSHALL")
    redis.ask("SCRIPT", "FLUSH")
    assert await found(memory, "1") == {}
    assert await memory.put(ADA, "2", SECRET)
    assert await found(memory, "1", "2") == {"2": SECRET}


async def test_while_the_store_is_away_nothing_is_kept_and_reading_says_so(
    redis: RedisProcess, memory: StoreMemory, caplog: pytest.LogCaptureFixture
) -> None:
    assert await memory.put(ADA, "1", SECRET)
    redis.kill()
    with caplog.at_level(logging.INFO):
        assert not await memory.put(ADA, "2", SECRET)
        refused = await refusal(memory)
        with pytest.raises(GatewayError):
            await memory.delete(ADA, "1")
        assert (refused.kind, refused.retry_after_s) == (Kind.STORE_UNAVAILABLE, 1.0)
        assert "send the whole conversation" in refused.message
        redis.start()

        async with asyncio.timeout(DEADLINE_S):
            while not await is_there(memory):
                await asyncio.sleep(POLL_S)
        assert await found(memory, "1", "2") == {"1": SECRET}
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("sidecar.conversations")]
    assert len(logged) == 2
    assert "cannot be used" in logged[0]
    assert "there again" in logged[1]
    assert str(SECRET) not in caplog.text


async def test_a_store_that_hangs_holds_a_call_for_seconds_and_no_longer(
    redis: RedisProcess, memory: StoreMemory
) -> None:
    assert await memory.put(ADA, "1", SECRET)
    redis.send(signal.SIGSTOP)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(refusal(memory) for _ in range(20)))
    assert {each.kind for each in answers} == {Kind.STORE_UNAVAILABLE}
    redis.send(signal.SIGCONT)


async def test_a_connection_that_was_cut_is_replaced_before_anybody_notices(
    redis: RedisProcess, settings: Settings
) -> None:
    async with Proxy(redis.port) as proxy:
        memory = StoreMemory(shared(proxy.port), settings)
        assert await memory.put(ADA, "1", SECRET)
        for _ in range(5):
            proxy.cut_all()
            assert await found(memory, "1") == {"1": SECRET}
        await memory.close()


async def test_a_store_without_memory_keeps_nothing_and_loses_nothing(redis: RedisProcess, memory: StoreMemory) -> None:
    assert await memory.put(ADA, "1", SECRET)
    redis.ask("CONFIG", "SET", "maxmemory", "1mb")
    assert not await memory.put(ADA, "2", SECRET)
    assert await found(memory, "1", "2", used=False) == {"1": SECRET}
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    assert await memory.put(ADA, "2", SECRET)


async def test_gateways_with_different_keys_are_told_by_name(
    redis: RedisProcess, memory: StoreMemory, caplog: pytest.LogCaptureFixture
) -> None:
    assert await memory.put(ADA, "1", SECRET)
    other = Settings()
    other.now = Remembering(3600.0, encryption_key=OTHER_KEY)
    another = StoreMemory(shared(redis.port), other)
    with caplog.at_level(logging.ERROR):
        assert await found(another, "1") == {}
    assert "responses.encryption_key" in caplog.text
    assert KEY.reveal() not in caplog.text
    assert OTHER_KEY.reveal() not in caplog.text
    assert await found(memory, "1") == {"1": SECRET}
    await another.close()

"""Remembering beside the event loop: a disk that is slow, full or held costs nobody but who remembers."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from adapters import GatewayError, Kind
from sidecar.conversations import DiskMemory
from sidecar.conversations.disk_records import FILE_NAME
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Remembering

ALL = 2**40


class Settings:
    """As the config has them now."""

    def __init__(self) -> None:
        self.now: Remembering | None = Remembering(3600.0)

    def __call__(self) -> Remembering | None:
        return self.now


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest_asyncio.fixture
async def memory(tmp_path: Path, settings: Settings) -> AsyncIterator[DiskMemory]:
    memory = DiskMemory(tmp_path, settings)
    yield memory
    await memory.close()


async def test_while_somebody_else_holds_the_file_the_loop_goes_on_and_what_is_there_can_be_read(
    tmp_path: Path, memory: DiskMemory
) -> None:
    assert await memory.put("ada", "1", b"x")
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kept = asyncio.create_task(memory.put("ada", "2", b"y"))
    turns = 0
    while not kept.done():
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        turns += time.perf_counter() - began < 1
    assert turns > 10
    assert await kept is False
    assert await memory.get("ada", ["1", "2"], used=True, bytes_max=ALL) == {"1": b"x"}
    other.execute("ROLLBACK")
    other.close()
    assert await memory.put("ada", "2", b"y")


async def test_where_the_disk_cannot_be_used_keeping_says_no_and_reading_is_refused(
    tmp_path: Path, settings: Settings
) -> None:
    memory = DiskMemory(tmp_path / "no-such-folder", settings)
    assert await memory.put("ada", "1", b"x") is False
    with pytest.raises(GatewayError, match="Send the whole conversation") as refused:
        await memory.get("ada", ["1"], used=True, bytes_max=ALL)
    assert refused.value.kind is Kind.OVERLOADED
    await memory.close()


async def test_what_is_too_large_to_be_read_is_refused_before_it_is_opened(memory: DiskMemory) -> None:
    assert await memory.put("ada", "1", bytes(1_000_000))
    with pytest.raises(GatewayError) as refused:
        await memory.get("ada", ["1"], used=True, bytes_max=999_999)
    assert refused.value.kind is Kind.REQUEST_TOO_LARGE


async def test_another_key_in_the_config_takes_effect_at_once(memory: DiskMemory, settings: Settings) -> None:
    assert await memory.put("ada", "1", b"x")
    settings.now = Remembering(3600.0, encryption_key=Secret("0123456789abcdef" * 2))
    assert await memory.get("ada", ["1"], used=True, bytes_max=ALL) == {}
    assert await memory.put("ada", "1", b"y")
    assert await memory.get("ada", ["1"], used=True, bytes_max=ALL) == {"1": b"y"}


async def test_a_worker_without_a_state_directory_remembers_nothing(settings: Settings) -> None:
    memory = DiskMemory(None, settings)
    assert memory.settings is None
    memory.start()
    await memory.close()

"""A Redis for each test that asks for one, and a database of one Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.postgres import Database, PostgresProcess
from tests.store.servers import RedisProcess


@pytest.fixture(scope="session")
def postgres_process() -> Iterator[PostgresProcess]:
    with PostgresProcess() as running:
        yield running


@pytest.fixture
async def postgres(postgres_process: PostgresProcess) -> Database:
    return await postgres_process.new_database()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with RedisProcess("8.2", tmp_path / "redis") as running:
        yield running

"""Both fronts at once, each with a double core of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sidecar.front.programs import PROGRAMS
from tests.conformance.asking import Side
from tests.front.conftest import Front, program, start_core, start_front, state

__all__ = ["program", "state"]  # fixtures of the front's tests that these use too


@pytest.fixture(scope="package")
def fronts() -> Iterator[list[Front]]:
    folders = [Path(tempfile.mkdtemp(prefix="pair-")) for _ in PROGRAMS]
    running = [start_front(folder, program) for folder, program in zip(folders, PROGRAMS.values(), strict=True)]
    yield running
    for front in running:
        front.stop()
    for folder in folders:
        shutil.rmtree(folder)


@pytest.fixture
async def sides(fronts: list[Front]) -> AsyncIterator[list[Side]]:
    """Nginx first."""
    async with AsyncExitStack() as stack:
        made = []
        for front in fronts:
            core = await start_core(front)
            stack.push_async_callback(core.stop)
            clients = {version: await stack.enter_async_context(front.http(version)) for version in (1, 2)}
            made.append(Side(front, core, clients))
        yield made

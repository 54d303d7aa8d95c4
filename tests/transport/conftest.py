"""A server in the test's own loop, which is uvloop's as in a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.transport.raw import Raw
from tests.transport.service import TRANSPORTS, Serving


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def native() -> AsyncIterator[Serving]:
    async with Serving() as serving:
        yield serving


@pytest.fixture(params=TRANSPORTS)
async def serving(request: pytest.FixtureRequest) -> AsyncIterator[Serving]:
    """Both transports, one after the other."""
    async with Serving(request.param) as running:
        yield running


@pytest.fixture
async def raw(native: Serving) -> AsyncIterator[Raw]:
    async with await Raw.to(native.port) as client:
        yield client

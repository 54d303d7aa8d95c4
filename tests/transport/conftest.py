"""A server in the test's own loop, which is uvloop's as in a worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import pytest
import uvloop

from tests.processes import RunningProcess
from tests.transport.raw import Raw
from tests.transport.service import TRANSPORTS, Serving


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def native() -> AsyncIterator[Serving]:
    async with Serving() as serving:
        yield serving


@pytest.fixture(scope="module", params=TRANSPORTS)
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """Of a server process; both transports, one after the other. grpcio's server wants one event loop for a process's life."""
    with RunningProcess.python("-m", "tests.transport.service", request.param) as server:
        port = server.wait_for_line(r"port (\d+)")[1]
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def raw(native: Serving) -> AsyncIterator[Raw]:
    async with await Raw.to(native.port) as client:
        yield client

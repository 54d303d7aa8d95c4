"""Routes made by call: every worker knows them when the call answers, and a restart keeps them."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from tests.provider import Provider
from tests.routes.managed import KEY, Managed, config_for, spec
from tests.scale import scaled

pytestmark = pytest.mark.slow
PAIRS = scaled(1000, minimum=100)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Managed]:
    with Managed(tmp_path_factory.mktemp("managed"), config_for(simulator)) as running:
        yield running


async def test_a_route_is_there_for_the_next_call_on_any_worker_by_any_service(
    core: Managed, simulator: Provider
) -> None:
    async with core.caller(0) as first, core.caller(1) as second:
        workers = (first, second)
        for number in range(PAIRS):
            makes, asks = workers[number % 2], workers[(number + 1) % 2]
            name = f"pair-{number}"
            await makes.create(spec(name, simulator.base_url))
            if number % 4 < 2:
                await asks.chat(name)
            else:
                assert await asks.rest_chat(name) == 200
            if number % 10:  # a tenth stays
                await asks.delete(name)
                with pytest.raises(grpc.aio.AioRpcError) as gone:
                    await makes.chat(name)
                assert gone.value.code() is grpc.StatusCode.NOT_FOUND
        assert len(await first.names()) == len(await second.names()) == 1 + len(range(0, PAIRS, 10))
    assert {call.key for call in simulator.calls} == {KEY}

"""A reload of thousands of routes, seen from a worker's other callers: they hardly notice."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import grpc

from adapters import Task
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Consumer, Limit, Snapshot
from sidecar.v1 import rest_pb2, rest_pb2_grpc, routes_pb2
from tests.provider import Provider
from tests.worker.running import WorkerProcess, default_routes, route
from tests.worker.test_rest import read

ROUTES = 6001
# The promise is 100 ms on an idle machine. This is no measurement: it finds what grows with the square of the routes, and must
# not find a neighbour's compiler.
STALL_S_MAX = 3.0


def _many(base_url: str) -> Snapshot:
    one = route("r", Task.CHAT, base_url)
    routes = {}
    for number in range(ROUTES):
        name = f"team-{number % 97}-{number}"
        upstream = replace(one.upstreams[0], key=Secret(f"sk-test-{number:032d}"))
        routes[name] = replace(one, name=name, upstreams=(upstream,), limits=(Limit("requests", number + 1, 60),))
    consumers = [Consumer(f"c{n}", (f"user-{n}", f"group-{n}-*"), allow=(f"team-{n % 97}-*",)) for n in range(500)]
    stubs = Consumer("stubs", local=True, allow=tuple(f"*-{n}-*5" for n in range(64)), deny=("team-1-*",))
    return Snapshot(routes, "6" * 12, consumers=(*consumers, stubs))


class _Pings:
    """Calls the worker all the time, in a thread of its own (this process pickles the routes meanwhile), and keeps the longest
    wait for an answer."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.answers = 0
        self.longest_s = 0.0
        self._path = worker.ready.front_path
        self._stop = threading.Event()

    def run(self) -> None:
        credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        with grpc.secure_channel(f"unix:{self._path}", credentials) as channel:
            health = rest_pb2_grpc.RestServiceStub(channel).Health
            while not self._stop.is_set():
                start_s = time.perf_counter()
                list(health(rest_pb2.HealthRequest(), timeout=30))
                self.longest_s = max(self.longest_s, time.perf_counter() - start_s)
                self.answers += 1

    async def more(self, count: int = 20) -> None:
        """Returns once so many more were answered."""
        wanted = self.answers + count
        async with asyncio.timeout(30):
            while self.answers < wanted:
                await asyncio.sleep(0.005)

    def stop(self) -> None:
        self._stop.set()


async def test_a_reload_of_six_thousand_routes_does_not_hold_up_a_worker(provider: Provider) -> None:
    many = _many(provider.base_url)
    async with WorkerProcess(default_routes(provider.base_url)) as worker:
        pings = _Pings(worker)
        task = asyncio.create_task(asyncio.to_thread(pings.run))
        try:
            await pings.more()
            await worker.reload(many)
            # The first call of a consumer with globs works out what it sees; a front user's finds its consumer.
            listed = await worker.routes().ListRoutes(routes_pb2.ListRoutesRequest(page_size=1000))
            metadata = (("x-sidecar-user", "group-499-x"),)
            models = await read(worker.rest().ListModels(rest_pb2.ListModelsRequest(), metadata=metadata))
            await pings.more()
        finally:
            pings.stop()
            await task
    print(f"\n{ROUTES:,} routes: the longest of {pings.answers} waits was {pings.longest_s * 1000:.0f} ms")
    assert len(listed.routes) > 0
    assert 60 < len(models.json["data"]) < 64  # 6,001 routes in 97 teams
    assert pings.longest_s < STALL_S_MAX

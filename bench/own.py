"""`python -m bench.own`: what a call costs in a worker's own code, in microseconds of CPU, without a network or
another process.

Everything in a worker is real except its sockets: HTTP/2 bytes go into a connection, a request leaves for the
provider, an answer arrives in the next turn of the loop, and HTTP/2 bytes come out. The kernel's share is missing;
`bench.run` and `bench.race` measure both. 32 calls run at a time. A figure is the minimum of its rounds, since other
load only adds to it.

    python -m bench.own              # the table
    python -m bench.own --profile    # and where the time goes, by function (including the profiler's overhead)
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.own_parts import Answers, Caller, echo_methods, snapshot_of
from sidecar.conversations import DiskMemory
from sidecar.gateway.gateway import Gateway
from sidecar.gateway.meter import Meter
from sidecar.limits import LimitStore
from sidecar.spend.ledger import Ledger
from sidecar.store import SharedMemory
from sidecar.telemetry import metric_memory
from sidecar.telemetry.access_log import AccessLog, json_line
from sidecar.telemetry.metrics import Metrics, memory_of
from sidecar.transport import Listener, Methods, Server
from sidecar.transport.health import HealthServicer
from sidecar.upstream import UpstreamClient
from sidecar.v1 import inference_pb2_grpc, rest_pb2_grpc
from sidecar.worker.inference import InferenceServicer
from sidecar.worker.process import GC_OBJECTS
from sidecar.worker.rest import RestServicer
from sidecar.worker.route_changes import RouteChanges

IN_FLIGHT = 32


@dataclass(frozen=True, slots=True)
class Case:
    """One row: which service, which settings of the route, and which parts are real."""

    name: str
    rest: bool
    governed: bool
    gateway: bool = True  # otherwise a handler with a constant answer, to measure the transport


CASES = (
    Case("gRPC, transport alone", rest=False, governed=False, gateway=False),
    Case("gRPC, plain", rest=False, governed=False),
    Case("gRPC, governed", rest=False, governed=True),
    Case("REST, transport alone", rest=True, governed=False, gateway=False),
    Case("REST, plain", rest=True, governed=False),
    Case("REST, governed", rest=True, governed=True),
)


class Bench:
    """A gateway with everything that a worker has, in this process."""

    def __init__(self, folder: Path, case: Case) -> None:
        folder.mkdir()
        self.answers = Answers()
        self._client = UpstreamClient(self.answers)
        metrics = Metrics(memory_of(metric_memory.make(0)))
        self.log = AccessLog(json_line, self._wrote, blocks=False)
        self.log_bytes = 0
        meter = Meter(metrics, SharedMemory(LimitStore(folder, 0), Ledger(folder)))
        self._gateway = Gateway(snapshot_of(case.governed), self._client, metrics, meter=meter, log=self.log)
        methods = Methods()
        if case.gateway:
            changes = RouteChanges(self._gateway, None)
            inference_pb2_grpc.add_InferenceServiceServicer_to_server(InferenceServicer(self._gateway), methods)
            rest_pb2_grpc.add_RestServiceServicer_to_server(
                RestServicer(self._gateway, changes, HealthServicer(), DiskMemory(None, lambda: None)), methods
            )
        else:
            methods = echo_methods()
        self.caller = Caller(Server(methods), Listener.FRONT if case.rest else Listener.LOCAL, rest=case.rest)

    def _wrote(self, lines: bytes) -> None:
        self.log_bytes += len(lines)

    async def calls(self, count: int) -> None:
        for _ in range(count // IN_FLIGHT):
            await self.caller.batch(IN_FLIGHT)

    async def close(self) -> None:
        await self.log.close()
        self.caller.close()
        await self._gateway.close()
        await self._client.close()


async def measured(run: Callable[[int], Awaitable[None]], calls: int, rounds: int) -> float:
    """Microseconds of this process's CPU per call, all threads."""
    await run(calls // 4)
    found = []
    for _ in range(rounds):
        began_s = time.process_time()
        await run(calls)
        found.append((time.process_time() - began_s) / (calls // IN_FLIGHT * IN_FLIGHT))
    return min(found) * 1e6


def collect_as_workers_do() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)


@contextmanager
def profiled(wanted: bool, name: str) -> Iterator[None]:
    if not wanted:
        yield
        return
    profile = cProfile.Profile()
    with profile:
        yield
    print(f"\n{name}")
    pstats.Stats(profile).sort_stats("tottime").print_stats(60)


async def main(arguments: argparse.Namespace) -> None:
    print(f"{'':26}  µs of CPU a call")
    with tempfile.TemporaryDirectory(prefix="own-") as folder:
        for number, case in enumerate(each for each in CASES if not arguments.only or arguments.only in each.name):
            bench = Bench(Path(folder) / str(number), case)
            collect_as_workers_do()
            cost = await measured(bench.calls, arguments.calls, arguments.rounds)
            print(f"{case.name:26}  {cost:6.1f}", flush=True)
            with profiled(arguments.profile, case.name):
                if arguments.profile:
                    await bench.calls(arguments.calls)
            await bench.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.own", description=__doc__)
    parser.add_argument("--calls", type=int, default=3200, help="calls a round (default: 3200)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of every row (default: 7)")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name has this in it")
    parser.add_argument("--profile", action="store_true", help="also print the functions of each row by their time")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(parse()))

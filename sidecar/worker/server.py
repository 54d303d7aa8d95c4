"""One worker process: a gRPC server with every service on up to three listeners, and its way out.

    python -m sidecar.worker --control-fd N      started by the supervisor, which speaks
                                         sidecar.control.channel on that socket

Listeners: the front socket (a call that comes by it is the front's), the local gRPC socket and port. They are served by
sidecar.transport; `--grpc-server grpcio` puts grpcio's own server on the latter two.
"""

from __future__ import annotations

import os

# Before grpc is imported: without fork handlers a call costs 377 instead of 448 µs and 6 instead of 17 context switches.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import argparse
import asyncio
import faulthandler
import gc
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.control.channel import (
    CONNECTION_AGE_S,
    GRPCIO,
    ChangeResult,
    Channel,
    Configure,
    Drain,
    Failed,
    LoadSnapshot,
    NotReady,
    Ready,
    Retire,
    SnapshotLoaded,
    StatusResult,
    WorkerSettings,
)
from sidecar.control.snapshot_patch import Patch, patched
from sidecar.conversations import Memory
from sidecar.domain.large_work import prepare_process
from sidecar.gateway.gateway import Gateway
from sidecar.gateway.meter import Meter
from sidecar.limits import LimitStore
from sidecar.spend.ledger import Ledger
from sidecar.store import SharedMemory, Store
from sidecar.telemetry.access_log import FORMATS as ACCESS_LOGS
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.log_output import LogHandler, LogOutput
from sidecar.telemetry.metrics import Metrics, memory_of
from sidecar.transport import Limits, Listener, Methods, Server
from sidecar.transport.health import HealthServicer
from sidecar.transport.reflection import add_reflection
from sidecar.upstream import UpstreamClient
from sidecar.v1 import inference_pb2, inference_pb2_grpc, rest_pb2, rest_pb2_grpc, routes_pb2, routes_pb2_grpc
from sidecar.worker.failure_report import report_failures
from sidecar.worker.heartbeat import beat
from sidecar.worker.inference import InferenceServicer
from sidecar.worker.rest import RestServicer
from sidecar.worker.route_changes import Questions, RouteChanges
from sidecar.worker.routes import RouteServicer

if TYPE_CHECKING:
    from sidecar.transport.grpcio_server import GrpcioServer

log = logging.getLogger(__name__)

# A worker that gets SIGTERM from somebody else than its supervisor still lets its calls finish.
_TERM_GRACE_S = 30.0
# Listeners get descriptors from here on, connections those below. Linux closes the files of a killed process from the highest
# number down: were a connection closed before its listener, its client would connect to the dying listener (22 of 60 times), be
# reset, and wait a second before it tries again. Many systems stop at 1,024.
_LISTENERS_FROM = 900
# Python's own number is 700: a collection for every few calls, each of which finds nothing.
GC_OBJECTS = 10_000
# How long handlers may clean up after the grace has cancelled them.
_CANCEL_S = 2.0
_SERVICES = (
    inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name,
    routes_pb2.DESCRIPTOR.services_by_name["RouteService"].full_name,
    rest_pb2.DESCRIPTOR.services_by_name["RestService"].full_name,
)


class WorkerServer:
    """The server with its listeners and its gateway. Raises OSError where the memory it shares with the others cannot be had."""

    def __init__(self, configure: Configure, questions: Questions, write: Callable[[bytes], object]) -> None:
        self._settings = configure.settings
        metrics_fd = configure.settings.metrics_fd
        self._metrics = Metrics(None if metrics_fd is None else memory_of(metrics_fd))
        self._client = UpstreamClient()
        run_dir = Path(configure.settings.run_dir)
        meter = Meter(self._metrics, _store(configure, run_dir, self._metrics))
        self._log = AccessLog(ACCESS_LOGS[configure.settings.access_log], write, blocks=False)
        self.gateway = Gateway(configure.snapshot, self._client, self._metrics, meter=meter, log=self._log)
        self._changes = RouteChanges(self.gateway, questions)
        state = configure.settings.state_dir
        self._memory = Memory(None if state is None else Path(state), lambda: self.gateway.snapshot.responses)
        self._health = HealthServicer()
        limits = Limits(message_bytes=configure.settings.message_bytes_max, age_s=CONNECTION_AGE_S)
        methods = self._methods()
        self._server = Server(methods, limits)
        self._local: Server | GrpcioServer = self._server
        if configure.settings.grpc_server == GRPCIO:
            from sidecar.transport.grpcio_server import GrpcioServer

            self._local = GrpcioServer(methods, limits)
        self._paths: list[Path] = []

    async def start(self) -> Ready:
        """Binds and serves. Raises RuntimeError or OSError, one line, when a listener cannot be had."""
        with _low_descriptors_taken():
            ready = self._bind(self._settings)
            for server in self._servers():
                await server.start()
        self._set_health(health_pb2.HealthCheckResponse.SERVING)
        self._memory.start()
        return ready

    def _servers(self) -> tuple[Server | GrpcioServer, ...]:
        return (self._server,) if self._local is self._server else (self._server, self._local)

    def _methods(self) -> Methods:
        methods = Methods()
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(InferenceServicer(self.gateway), methods)
        routes_pb2_grpc.add_RouteServiceServicer_to_server(RouteServicer(self.gateway, self._changes), methods)
        rest_pb2_grpc.add_RestServiceServicer_to_server(
            RestServicer(self.gateway, self._changes, self._health, self._memory), methods
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        add_reflection(methods)
        return methods

    def _bind(self, settings: WorkerSettings) -> Ready:
        front = local = None
        if settings.front:
            front = self._path("w")
            self._server.bind_unix(front, Listener.FRONT)
        if settings.grpc_socket:
            local = self._path("s")
            self._local.bind_unix(local, Listener.LOCAL)
        if settings.grpc_address is not None:
            self._local.bind_tcp(settings.grpc_address, Listener.LOCAL)
        return Ready(os.getpid(), front, local)

    def _path(self, kind: str) -> str:
        path = Path(self._settings.run_dir) / f"{kind}{self._settings.slot}-{os.getpid()}.sock"
        self._paths.append(path)
        return str(path)

    def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in ("", *_SERVICES):
            self._health.set(name, status)

    def not_ready(self) -> None:
        """Load balancers are told to go elsewhere; whoever comes all the same is served."""
        self._health.leave()

    def retire(self) -> None:
        """Takes no new connections on the port that it shares with the other workers."""
        self._local.stop_accepting()

    def patch(self, patch: Patch) -> None:
        """Takes the change of a snapshot, unless it was made for another than this one: whoever sent it sees that."""
        try:
            self.gateway.snapshot = patched(self.gateway.snapshot, patch)
        except ValueError as error:
            log.error("%s", error)

    async def drain(self, grace_s: float) -> None:
        """No new calls; those under way get `grace_s`, then they are ended as drained."""
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.gather(*(server.stop(grace_s, self.gateway.cut_calls) for server in self._servers()))
        await self.gateway.close()
        await self.gateway.meter.close()
        await self._client.close()
        await self._memory.close()
        await self._log.close()
        for path in self._paths:
            path.unlink(missing_ok=True)


def _store(configure: Configure, run_dir: Path, metrics: Metrics) -> Store:
    """Raises OSError."""
    memory = SharedMemory(LimitStore(run_dir, configure.settings.slot), Ledger(run_dir))
    if configure.snapshot.store is None:
        return memory
    from sidecar.store.opened import open_store  # nobody else needs a client of Redis

    settings = configure.settings
    return open_store(configure.snapshot.store, memory, run_dir, Path(settings.store_dir), settings.gateway, metrics)


@contextmanager
def _low_descriptors_taken() -> Iterator[None]:
    """What is opened meanwhile gets a number from _LISTENERS_FROM on, or from half of what the system allows."""
    until = min(_LISTENERS_FROM, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    taken = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
    try:
        while taken[-1] < until:
            taken.append(os.dup(taken[0]))
        yield
    finally:
        for each in taken:
            os.close(each)


async def _serve(control: socket.socket, output: LogOutput) -> int:
    channel = await Channel.open(control)
    first = await channel.receive()
    if not isinstance(first, Configure):
        return 1  # the supervisor is gone
    if first.settings.stack_fd is not None:
        faulthandler.register(signal.SIGUSR1, file=first.settings.stack_fd)
    if first.settings.log_path is not None:
        output.keep_to(Path(first.settings.log_path))
    questions = Questions(channel.send)
    try:
        worker = WorkerServer(first, questions, output.put)
        ready = await worker.start()
    except (RuntimeError, OSError) as error:
        await channel.send(Failed(str(error).splitlines()[0]))
        return 1
    # What is there now stays, so it need not be looked through again. A call leaves no cycles behind; those of calls that
    # failed may wait for a few hundred others.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)
    await channel.send(ready)
    # To the very end: a worker that hangs while it drains is noticed, too.
    beats = None if first.settings.beat_s is None else asyncio.create_task(beat(channel, first.settings.beat_s))
    failures = asyncio.create_task(report_failures(channel, worker.gateway.upstreams.failures))
    leave: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _leave, leave, _TERM_GRACE_S)
    # Runs to the end of the process: a change that a caller waits for is answered while the worker drains, too.
    reader = asyncio.create_task(_obey(channel, worker, questions, leave))
    grace_s = await leave
    if grace_s is None:
        return 1
    try:
        async with asyncio.timeout(grace_s + _CANCEL_S):
            await worker.drain(grace_s)
    except TimeoutError:
        log.warning("some calls did not end when they were cancelled")
    reader.cancel()
    failures.cancel()
    if beats is not None:
        beats.cancel()
    return 0


async def _obey(
    channel: Channel, worker: WorkerServer, questions: Questions, leave: asyncio.Future[float | None]
) -> None:
    """Does what the supervisor says until it is gone. `leave` gets the grace of the drain, or None at the supervisor's end."""
    try:
        while (message := await channel.receive()) is not None:
            match message:
                case LoadSnapshot(snapshot):
                    worker.gateway.snapshot = snapshot
                    await channel.send(SnapshotLoaded(snapshot.hash))
                case Patch():
                    worker.patch(message)
                    await channel.send(SnapshotLoaded(worker.gateway.snapshot.hash))
                case ChangeResult() | StatusResult():
                    questions.answered(message)
                case Retire():
                    worker.retire()
                case NotReady():
                    worker.not_ready()
                case Drain(grace_s):
                    _leave(leave, grace_s)
                case _:
                    return
    except ConnectionError:
        return
    finally:
        questions.lost()
        _leave(leave, None)


def _leave(leave: asyncio.Future[float | None], grace_s: float | None) -> None:
    if not leave.done():
        leave.set_result(grace_s)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sidecar.worker", description=__doc__)
    parser.add_argument("--control-fd", type=int, required=True, help="the supervisor's end of sidecar.control.channel")
    arguments = parser.parse_args()
    faulthandler.enable()  # what kills the process (SIGSEGV, SIGBUS) leaves its stack on standard error
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # 1,024 on many systems: some 450 calls
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to understand
    prepare_process()
    output = LogOutput()
    logging.basicConfig(level=logging.INFO, handlers=[LogHandler(output, "worker")])
    code = uvloop.run(_serve(socket.socket(fileno=arguments.control_fd), output))
    # Not sys.exit: grpc's own threads may hold the interpreter's shutdown for seconds.
    logging.shutdown()
    os._exit(code)

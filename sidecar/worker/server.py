"""A worker's gRPC server: all services on up to three listeners, and its shutdown.

Listeners: the front socket (whatever comes through it is the front's), the local gRPC socket and the local gRPC
port. All are served by sidecar.transport; `--grpc-server grpcio` puts grpcio's server on the latter two.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.control.channel import (
    CONNECTION_AGE_S,
    GRPCIO,
    Configure,
    Ready,
    WorkerSettings,
)
from sidecar.control.snapshot_patch import Patch, patched
from sidecar.conversations import DiskMemory, Memory
from sidecar.domain.snapshot import Remembering
from sidecar.gateway.gateway import Gateway
from sidecar.gateway.meter import Meter
from sidecar.limits import LimitStore
from sidecar.spend.ledger import Ledger
from sidecar.store import SharedMemory, Store
from sidecar.telemetry.access_log import FORMATS as ACCESS_LOGS
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics, memory_of
from sidecar.transport import Limits, Listener, Methods, Server
from sidecar.transport.health import HealthServicer
from sidecar.transport.reflection import add_reflection
from sidecar.upstream import UpstreamClient
from sidecar.v1 import inference_pb2, inference_pb2_grpc, rest_pb2, rest_pb2_grpc, routes_pb2, routes_pb2_grpc
from sidecar.worker.inference import InferenceServicer
from sidecar.worker.rest import RestServicer
from sidecar.worker.route_changes import Questions, RouteChanges
from sidecar.worker.routes import RouteServicer

if TYPE_CHECKING:
    from sidecar.transport.grpcio_server import GrpcioServer

log = logging.getLogger(__name__)

# Listeners get descriptors from here on, connections the lower ones. Linux closes the files of a killed process from
# the highest number down. If a connection closed before its listener, the client would reconnect to the dying
# listener (in 22 of 60 runs), be reset, and wait a second before its next attempt. Many systems stop at 1,024.
_LISTENERS_FROM = 900
_SERVICES = (
    inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name,
    routes_pb2.DESCRIPTOR.services_by_name["RouteService"].full_name,
    rest_pb2.DESCRIPTOR.services_by_name["RestService"].full_name,
)


class WorkerServer:
    """The server with its listeners and its gateway. Raises OSError if the memory shared with the other workers
    cannot be mapped."""

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
        self._memory = _memory(configure, lambda: self.gateway.snapshot.responses)
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
        """Binds and serves, once a shared store is reachable. Raises RuntimeError or OSError with a one-line
        message if it cannot listen."""
        if self.gateway.meter.store is not None:
            await self.gateway.meter.store.reached()
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
        """Makes load balancers go elsewhere; calls that arrive anyway are served."""
        self._health.leave()

    def retire(self) -> None:
        """Stops accepting connections on the port shared with the other workers."""
        self._local.stop_accepting()

    def patch(self, patch: Patch) -> None:
        """Applies a change of the snapshot, unless it was made for a different snapshot, which the sender then
        notices."""
        try:
            self.gateway.snapshot = patched(self.gateway.snapshot, patch)
        except ValueError as error:
            log.error("%s", error)

    async def drain(self, grace_s: float) -> None:
        """Refuses new calls. Running calls get `grace_s` seconds, then they end as drained."""
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
    from sidecar.store.opened import open_store  # imported only if Redis is configured

    settings = configure.settings
    return open_store(configure.snapshot.store, memory, run_dir, Path(settings.store_dir), settings.gateway, metrics)


def _memory(configure: Configure, settings: Callable[[], Remembering | None]) -> Memory:
    if configure.snapshot.store is None:
        folder = configure.settings.state_dir
        return DiskMemory(None if folder is None else Path(folder), settings)
    from sidecar.conversations.store_memory import StoreMemory  # as above

    return StoreMemory(configure.snapshot.store, settings)


@contextmanager
def _low_descriptors_taken() -> Iterator[None]:
    """While active, newly opened files get descriptors from _LISTENERS_FROM on, or from half of the system's limit."""
    until = min(_LISTENERS_FROM, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)
    taken = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)]
    try:
        while taken[-1] < until:
            taken.append(os.dup(taken[0]))
        yield
    finally:
        for each in taken:
            os.close(each)

"""Messages between supervisor and worker, over a private socket pair that the worker inherits.

The supervisor starts `python -m sidecar.worker --control-fd N`, sends `Configure`, and waits for `Ready`. Messages
are pickled: the socket only connects the two, and a snapshot (with its secrets) must never be written to disk. End
of file means that the other side is gone; a worker then stops at once.

Either side may start. The supervisor sends `Configure`, `LoadSnapshot` and `Patch`, which are answered in that
order. A worker's `ChangeRequest` carries a number and is answered by a `ChangeResult` with the same number, in any
order; likewise `StatusRequest` and `StatusResult`. Meanwhile, other messages are handled. From `Ready` on, a worker
sends a `Beat` every `beat_s`, which is not answered; a worker that stops doing so hangs. `UpstreamFailures` is not
answered either.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters import GatewayError, Kind
from sidecar.control.snapshot_patch import Patch
from sidecar.domain.gateway_status import GatewayStatus, UpstreamFailure
from sidecar.domain.snapshot import Limit, Route, Snapshot

# A worker asks each connection to close at this age (a GOAWAY that lets its calls finish), so that a replaced worker
# loses its clients before its shutdown, which gRPC would answer with CANCELLED. It also spreads channels on the
# local port over the workers again. A reconnect costs 0.3 ms; a caller's 10-minute streams occupy 60 connections at
# most.
CONNECTION_AGE_S = 10.0

# Server of the local listeners: our own transport or grpcio's (docs/decisions/0016).
NATIVE, GRPCIO = "native", "grpcio"
GRPC_SERVERS = (NATIVE, GRPCIO)

_LENGTH_BYTES = 4
# Larger messages are unpickled in a thread: 6,001 routes take 0.1 s, during which no call would proceed.
_SMALL_BYTES_MAX = 64 * 1024
# 6,001 routes pickle to about 3 MB; anything larger comes from a broken peer.
_MESSAGE_BYTES_MAX = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs to know in addition to the routes.

    `run_dir` holds the sockets and the files in which all workers count (sidecar.limits, sidecar.spend); its path is
    short enough for socket names (107 bytes in all). The worker binds `w<slot>-<pid>.sock` for the front and
    `s<slot>-<pid>.sock` for local gRPC in it, and removes them when it stops.
    """

    slot: int  # lowest number not used by a living worker
    run_dir: str
    state_dir: str | None = None  # for what outlives the gateway; None: nothing does
    front: bool = True
    grpc_socket: bool = True
    grpc_address: str | None = None  # "127.0.0.1:50051", bound by every worker with SO_REUSEPORT
    metrics_fd: int | None = None  # an inherited file of sidecar.telemetry.metric_memory; None: metrics are not exposed
    message_bytes_max: int = 64 * 1024 * 1024
    access_log: str = "off"  # json, human, off: one log line per call, on standard error
    log_path: str | None = None  # the file behind standard error, if it may be rotated
    beat_s: float | None = None  # seconds between heartbeats; None: no heartbeats
    stack_fd: int | None = None  # an inherited file, to which SIGUSR1 writes the stacks of all threads
    grpc_server: str = NATIVE  # for the local listeners; one of GRPC_SERVERS
    store_dir: str = ""  # for settlements that a shared store has not acknowledged
    gateway: str = ""  # name of this gateway among those that share the store


@dataclass(frozen=True, slots=True)
class Configure:
    """The supervisor's first message."""

    settings: WorkerSettings
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class LoadSnapshot:
    """A new configuration. Applying it is one assignment in the worker; running calls keep theirs."""

    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Retire:
    """Another worker serves in its place: accept no new connections, but serve the existing ones. `Drain` follows."""


@dataclass(frozen=True, slots=True)
class NotReady:
    """Report NOT_SERVING for health and 503 for `/health`, so that load balancers go elsewhere; serve everything
    else. `Drain` follows."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Report NOT_SERVING, refuse new calls, give running ones `grace_s` to finish; then exit with code 0."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker serves: health is SERVING on these sockets (None if switched off)."""

    pid: int
    front_path: str | None
    grpc_path: str | None


@dataclass(frozen=True, slots=True)
class SnapshotLoaded:
    """The worker uses the snapshot with this hash from now on."""

    hash: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker cannot start; one line for the operator."""

    message: str


@dataclass(frozen=True, slots=True)
class PutRoute:
    """Make a route, or replace one that was made so. `spec` is the route in the config file's terms; its keys are in plain
    text, so it is not printed. `builds_on`: one of these is the version of the route that is replaced."""

    spec: Mapping[str, Any]
    replaces: bool
    builds_on: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"PutRoute(replaces={self.replaces})"


@dataclass(frozen=True, slots=True)
class RemoveRoute:
    """Remove a route that `PutRoute` made, if it has one of these versions."""

    name: str
    builds_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PutLimits:
    """From now on these are the route's limits, whatever the config file says, if its limits have one of these versions."""

    route: str
    limits: tuple[Limit, ...]
    builds_on: tuple[str, ...]


RouteChange = PutRoute | RemoveRoute | PutLimits


@dataclass(frozen=True, slots=True)
class Refusal:
    """A GatewayError in transit (exceptions with keyword arguments cannot be pickled)."""

    kind: Kind
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, error: GatewayError) -> Refusal:
        return cls(error.kind, error.message, error.param, error.retry_after_s, error.headers)

    def error(self) -> GatewayError:
        return GatewayError(
            self.kind, self.message, param=self.param, retry_after_s=self.retry_after_s, headers=self.headers
        )


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """A worker asks the supervisor for a change that a caller requested; the worker has checked permission."""

    number: int
    change: RouteChange
    by: str  # the consumer, for the log


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The change was made and every worker uses it (the route as it is now; None if deleted), or the reason of a
    refusal."""

    number: int
    outcome: Route | Refusal | None


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """A worker asks for the gateway's status for one consumer; it has checked whether that may see the `operator`
    part."""

    number: int
    consumer: str
    operator: bool


@dataclass(frozen=True, slots=True)
class StatusResult:
    """The answer to the request with this number."""

    number: int
    status: GatewayStatus


@dataclass(frozen=True, slots=True)
class UpstreamFailures:
    """A worker's newest failure for each (route, upstream) since the last report."""

    failures: Mapping[tuple[str, str], UpstreamFailure]


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat of the worker's event loop.

    Reports the blocks longer than a second since the last one: their total duration, and the CPU time of the
    worker's thread during them. 0 if there were none.
    """

    held_s: float = 0.0
    on_cpu_s: float = 0.0


Message = (
    Beat
    | Configure
    | LoadSnapshot
    | Patch
    | Retire
    | NotReady
    | Drain
    | Ready
    | SnapshotLoaded
    | Failed
    | ChangeRequest
    | ChangeResult
    | StatusRequest
    | StatusResult
    | UpstreamFailures
)


class Channel:
    """One end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, sock: socket.socket) -> Channel:
        sock.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=sock))

    async def send(self, message: Message) -> None:
        """Raises ConnectionError if the other side is gone."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
        await self._writer.drain()

    def send_if_read(self, message: Message) -> bool:
        """Never waits: returns False without sending while the other side has not read earlier messages."""
        if self._writer.is_closing() or self._writer.transport.get_write_buffer_size():
            return False
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
        return True

    async def receive(self) -> Message | None:
        """Returns the next message; None once the other side has closed."""
        try:
            size = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            if size > _MESSAGE_BYTES_MAX:
                return None
            data = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        if size <= _SMALL_BYTES_MAX:
            message: Message = pickle.loads(data)
        else:
            message = await asyncio.to_thread(pickle.loads, data)
        return message

    def close(self) -> None:
        self._writer.close()

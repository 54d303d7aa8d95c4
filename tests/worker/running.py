"""A real worker process with routes of the test's choice: what the supervisor starts, without the supervisor."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from prometheus_client import Metric
from prometheus_client.samples import Sample

from adapters import Task
from sidecar.control.channel import (
    NATIVE,
    Channel,
    Configure,
    Drain,
    Failed,
    LoadSnapshot,
    Message,
    Ready,
    SnapshotLoaded,
    StatusRequest,
    StatusResult,
    UpstreamFailures,
    WorkerSettings,
)
from sidecar.domain.gateway_status import GatewayStatus, UpstreamFailure
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import CaBundle, Route, Snapshot, Timeouts, Upstream
from sidecar.telemetry import metric_memory
from sidecar.v1 import inference_pb2_grpc, rest_pb2_grpc, routes_pb2_grpc

KEY = "sk-test-canary-0123456789abcdef"
START_S = 20.0
# What the documentation tells stub users to set: the server's own limit.
CLIENT_OPTIONS = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]


def route(name: str, task: Task, base_url: str, **fields: Any) -> Route:
    """A route to one upstream; `fields` are Route's, and of Upstream: provider, model, key, ca_file, options."""
    of_upstream = {key: fields.pop(key) for key in ("provider", "model", "key", "ca_file", "options") if key in fields}
    if (path := of_upstream.pop("ca_file", None)) is not None:
        of_upstream["ca_file"] = CaBundle(str(path), Path(path).read_text())
    values = {"provider": "openai", "model": "gpt-test", "key": Secret(KEY), **of_upstream}
    return Route(name, task, (Upstream(base_url=base_url, **values),), **fields)


def snapshot(routes: Iterable[Route], hash_: str = "000000000000") -> Snapshot:
    return Snapshot({each.name: each for each in routes}, hash_)


def default_routes(base_url: str, timeouts: Timeouts | None = None) -> Snapshot:
    """chat, completions and embeddings at one OpenAI-format provider."""
    timeouts = timeouts or Timeouts()
    return snapshot(
        route(name, task, base_url, timeouts=timeouts)
        for name, task in (("chat", Task.CHAT), ("completions", Task.COMPLETIONS), ("embeddings", Task.EMBEDDINGS))
    )


class WorkerProcess:
    """async with WorkerProcess(snapshot) as worker: worker.inference(), worker.rest(user=...), ..."""

    def __init__(
        self,
        routes: Snapshot,
        *,
        slot: int = 0,
        metrics: bool = False,
        grpc_port: int | None = None,
        grpc_server: str = NATIVE,
    ) -> None:
        self._routes = routes
        self._slot = slot
        self._memories = [metric_memory.make(slot)] if metrics else []
        self._grpc_port = grpc_port
        self._grpc_server = grpc_server
        self._directory = Path(tempfile.mkdtemp(prefix="sc-"))
        self.log = self._directory / "log"
        self.channels: list[grpc.aio.Channel] = []
        self.process: asyncio.subprocess.Process | None = None
        self._front: grpc.aio.Channel | None = None
        self._stub: grpc.aio.Channel | None = None
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self.status = GatewayStatus(workers=1, today="2026-11-29")
        self.failures: dict[tuple[str, str], UpstreamFailure] = {}

    def counted(self) -> list[Metric]:
        """Its metrics, with `metrics=True`."""
        return metric_memory.merged(metric_memory.read(fd)[0] for fd in self._memories)

    @property
    def run_dir(self) -> Path:
        """Where the limits and the ledger are that it shares with other workers."""
        return self._directory

    def samples(self, name: str) -> list[Sample]:
        return [sample for metric in self.counted() for sample in metric.samples if sample.name == name]

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def __aenter__(self) -> Self:
        ours, theirs = socket.socketpair()
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sidecar.worker", "--control-fd", str(theirs.fileno()),
                pass_fds=[theirs.fileno(), *self._memories], stderr=log, start_new_session=True, env={**os.environ},
            )  # fmt: skip
        theirs.close()
        self._control = await Channel.open(ours)
        settings = WorkerSettings(
            slot=self._slot,
            run_dir=str(self._directory),
            grpc_address=None if self._grpc_port is None else f"127.0.0.1:{self._grpc_port}",
            metrics_fd=self._memories[0] if self._memories else None,
            grpc_server=self._grpc_server,
        )
        await self._control.send(Configure(settings, self._routes))
        self._reader = asyncio.create_task(self._read())
        async with asyncio.timeout(START_S):
            ready = await self._messages.get()
        assert isinstance(ready, Ready), ready if isinstance(ready, Failed) else self.log.read_text()
        self.ready = ready
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for channel in self.channels:
            await channel.close(None)
        assert self.process is not None
        self._reader.cancel()
        self._control.close()
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        for fd in self._memories:
            os.close(fd)
        shutil.rmtree(self._directory)

    def front_channel(self) -> grpc.aio.Channel:
        """As the front proxy connects: over the front socket."""
        credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        return self._keep(grpc.aio.secure_channel(f"unix:{self.ready.front_path}", credentials, CLIENT_OPTIONS))

    def local_channel(self) -> grpc.aio.Channel:
        """As another service beside it connects."""
        return self._keep(grpc.aio.insecure_channel(f"unix:{self.ready.grpc_path}", CLIENT_OPTIONS))

    def _keep(self, channel: grpc.aio.Channel) -> grpc.aio.Channel:
        self.channels.append(channel)
        return channel

    def inference(self) -> Any:
        return inference_pb2_grpc.InferenceServiceStub(self._one_stub_channel())

    def routes(self) -> Any:
        return routes_pb2_grpc.RouteServiceStub(self._one_stub_channel())

    def rest(self) -> Any:
        if self._front is None:
            self._front = self.front_channel()
        return rest_pb2_grpc.RestServiceStub(self._front)

    def _one_stub_channel(self) -> grpc.aio.Channel:
        """One for all calls: a test that asks in a loop must not run out of descriptors."""
        if self._stub is None:
            self._stub = self.local_channel()
        return self._stub

    async def reload(self, routes: Snapshot) -> None:
        await self._control.send(LoadSnapshot(routes))
        assert await self._messages.get() == SnapshotLoaded(routes.hash)

    async def _read(self) -> None:
        """As a supervisor does: what asks for the gateway's status gets `status`, everything else is kept."""
        while (message := await self._control.receive()) is not None:
            if isinstance(message, StatusRequest):
                await self._control.send(StatusResult(message.number, self.status))
            elif isinstance(message, UpstreamFailures):
                self.failures.update(message.failures)
            else:
                self._messages.put_nowait(message)
        self._messages.put_nowait(None)

    async def drain(self, grace_s: float) -> None:
        await self._control.send(Drain(grace_s))

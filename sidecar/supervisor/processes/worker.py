"""One worker process from the supervisor's side: started, configured, reloaded, drained, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from sidecar.control.channel import (
    Beat,
    ChangeRequest,
    ChangeResult,
    Channel,
    Configure,
    Drain,
    Failed,
    LoadSnapshot,
    Message,
    NotReady,
    Ready,
    Refusal,
    Retire,
    SnapshotLoaded,
    StatusRequest,
    StatusResult,
    UpstreamFailures,
    WorkerSettings,
)
from sidecar.control.snapshot_patch import between
from sidecar.domain.gateway_status import GatewayStatus, WorkerStatus
from sidecar.domain.snapshot import Route, Snapshot
from sidecar.supervisor.processes import hangs, process

# The command of a worker, to which `--control-fd N` is added. Tests of the supervisor replace it.
WORKER_COMMAND = (sys.executable, "-P", "-m", "sidecar.worker")
# Importing gRPC on a busy machine takes seconds; a worker that is not ready by then never will be.
_READY_TIMEOUT_S = 30.0
# A worker reads 6,001 routes in 0.1 s; one that does not answer by then hangs.
_RELOAD_TIMEOUT_S = 10.0
# Time beyond its grace for a worker to close its sockets.
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class Answers:
    """Handles requests and reports of workers; none of these raises. `change` returns the route as it is now (None
    if deleted), or the reason of a refusal."""

    change: Callable[[ChangeRequest], Awaitable[Route | Refusal | None]]
    status: Callable[[StatusRequest], Awaitable[GatewayStatus]]
    failed: Callable[[UpstreamFailures], None]


Held = Callable[["WorkerHandle", Beat], None]  # a worker's event loop was blocked


class WorkerFailed(Exception):
    """The worker cannot serve; the message gives the reason for the operator."""


class WorkerHandle:
    """A living worker process. `slot` names its metrics and sockets, `position` is where it serves (0 to N-1)."""

    def __init__(
        self,
        settings: WorkerSettings,
        position: int,
        spawned: asyncio.subprocess.Process,
        channel: Channel,
        answers: Answers,
        held: Held,
    ) -> None:
        self.settings = settings
        self.position = position
        self.process = spawned
        self.ready: Ready | None = None
        self.expected_to_end = False
        self.hangs = False  # the hang was detected, and the worker is about to be killed
        self.last_sign_s: float | None = None  # monotonic time of the last heartbeat
        self.started_s = time.monotonic()
        self._ending = asyncio.Event()
        self._snapshot: Snapshot | None = None
        self._channel = channel
        self._for_worker = answers
        self._held = held
        self._changing: set[asyncio.Task[None]] = set()
        self._answers: asyncio.Queue[Message | None] = asyncio.Queue()
        self._reader: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()  # one request at a time: answers carry no number

    @property
    def slot(self) -> int:
        return self.settings.slot

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that it uses."""
        return self._snapshot

    @property
    def name(self) -> str:
        return f"{self.position} (pid {self.process.pid})"

    def status(self, state: str) -> WorkerStatus:
        """For people. `state` comes from the pool."""
        now_s = time.monotonic()
        silent_s = None if self.last_sign_s is None else now_s - self.last_sign_s
        return WorkerStatus(self.position, self.process.pid, time.time() - (now_s - self.started_s), state, silent_s)

    @classmethod
    async def start(
        cls,
        settings: WorkerSettings,
        position: int,
        answers: Answers,
        command: Sequence[str] = WORKER_COMMAND,
        *,
        held: Held = lambda worker, beat: None,
    ) -> WorkerHandle:
        """Starts the process, which then waits for `configure`."""
        ours, theirs = socket.socketpair()
        settings = replace(settings, stack_fd=hangs.open_stack_file())
        kept = (theirs.fileno(), settings.stack_fd, settings.metrics_fd)
        try:
            spawned = await process.spawn(
                [*command, "--control-fd", str(theirs.fileno())],
                env={**process.own_env(), "GRPC_ENABLE_FORK_SUPPORT": "0"},
                keep_fds=tuple(fd for fd in kept if fd is not None),
            )
        except BaseException:
            ours.close()
            _close(settings.stack_fd)
            raise
        finally:
            theirs.close()
        handle = cls(settings, position, spawned, await Channel.open(ours), answers, held)
        handle._reader = asyncio.create_task(handle._read())
        return handle

    async def configure(self, snapshot: Snapshot) -> None:
        """Sends settings and routes, and waits until it serves. Raises WorkerFailed."""
        answer = await self._ask(Configure(self.settings, snapshot), _READY_TIMEOUT_S)
        if isinstance(answer, Failed):
            raise WorkerFailed(answer.message)
        if not isinstance(answer, Ready):
            raise WorkerFailed(await self._why_not("did not get ready", _READY_TIMEOUT_S, describe=True))
        self.ready = answer
        self._snapshot = snapshot

    async def reload(self, snapshot: Snapshot) -> None:
        """Raises WorkerFailed if it does not confirm the snapshot."""
        async with self._turn:
            if not await self._reloaded(snapshot):
                raise WorkerFailed(await self._why_not("did not confirm the new configuration", _RELOAD_TIMEOUT_S))
            self._snapshot = snapshot

    async def _reloaded(self, snapshot: Snapshot) -> bool:
        """Sends a patch if the change is small; the whole snapshot otherwise, or if the patch did not apply."""
        patch = None if self._snapshot is None else between(self._snapshot, snapshot)
        for question in (patch, LoadSnapshot(snapshot)):
            if question is not None:
                answer = await self._answer_to(question, _RELOAD_TIMEOUT_S)
                if not isinstance(answer, SnapshotLoaded):
                    return False
                if answer.hash == snapshot.hash:
                    return True
        return False

    async def retire(self, lame_duck_s: float) -> None:
        """Lets its clients move to its replacement; returns once their time is up, or once it has to end."""
        try:
            await self._channel.send(Retire())
            async with asyncio.timeout(lame_duck_s):
                await self._ending.wait()
        except (ConnectionError, TimeoutError):
            pass

    async def not_ready(self) -> None:
        """Makes load balancers go elsewhere from now on, while it continues to serve."""
        try:
            await self._channel.send(NotReady())
        except ConnectionError:
            pass  # it is ending already

    async def drain(self, grace_s: float) -> int:
        """Lets it finish its calls, waits for its end, and returns the exit code. Kills it after its grace."""
        if not self.expected_to_end:
            self.expected_to_end = True
            self._ending.set()
            try:
                await self._channel.send(Drain(grace_s))
            except ConnectionError:
                pass  # it is ending already
        if not await process.ended(self.process, grace_s + _END_S):
            self.kill()
        return await self.process.wait()

    def kill(self) -> None:
        self.expected_to_end = True
        self._ending.set()
        process.signal_group(self.process, signal.SIGKILL)

    def close(self) -> None:
        """Call it after its end: frees the channel and removes sockets that a killed worker left behind."""
        self._ending.set()
        if self._reader is not None:
            self._reader.cancel()
        self._channel.close()
        _close(self.settings.stack_fd)
        for kind in ("w", "s"):
            try:
                os.unlink(os.path.join(self.settings.run_dir, f"{kind}{self.slot}-{self.process.pid}.sock"))
            except FileNotFoundError:
                pass

    async def describe(self) -> str:
        """Describes what an unresponsive worker is doing, for the log."""
        return await hangs.describe(self.process, self.settings.stack_fd)

    async def _ask(self, question: Message, timeout_s: float) -> Message | None:
        async with self._turn:
            return await self._answer_to(question, timeout_s)

    async def _answer_to(self, question: Message, timeout_s: float) -> Message | None:
        """Only called while this request is active."""
        if (
            self._reader is None or self._reader.done()
        ):  # the worker is gone; remaining messages answer earlier requests
            return None
        while not self._answers.empty():  # late answers to abandoned requests
            if self._answers.get_nowait() is None:
                return None
        try:
            async with asyncio.timeout(timeout_s):
                await self._channel.send(question)
                return await self._answers.get()
        except (TimeoutError, ConnectionError):
            return None

    async def _read(self) -> None:
        """Dispatches messages: a request of the worker becomes a task, anything else answers one of our requests."""
        try:
            while (message := await self._channel.receive()) is not None:
                if isinstance(message, Beat):
                    self.last_sign_s = time.monotonic()
                    if message.held_s:
                        self._held(self, message)
                elif isinstance(message, UpstreamFailures):
                    self._for_worker.failed(message)
                elif isinstance(message, ChangeRequest | StatusRequest):
                    task = asyncio.create_task(self._answer(message))
                    self._changing.add(task)
                    task.add_done_callback(self._changing.discard)
                else:
                    if isinstance(message, Ready) and self.settings.beat_s is not None:
                        # so that a worker hanging before its first heartbeat is detected, too
                        self.last_sign_s = time.monotonic()
                    self._answers.put_nowait(message)
        finally:
            self._answers.put_nowait(None)  # also when `close` ends this: no one waits for an answer of a dead worker

    async def _answer(self, ask: ChangeRequest | StatusRequest) -> None:
        result: ChangeResult | StatusResult
        if isinstance(ask, ChangeRequest):
            result = ChangeResult(ask.number, await self._for_worker.change(ask))
        else:
            result = StatusResult(ask.number, await self._for_worker.status(ask))
        try:
            await self._channel.send(result)
        except ConnectionError:
            pass  # the worker died, so its caller does not learn more; the change stands

    async def _why_not(self, what: str, timeout_s: float, *, describe: bool = False) -> str:
        if await process.ended(self.process, 1.0):
            return f"ended with {process.describe_exit(self.process.returncode or 0)}"
        return f"{what} within {timeout_s:g} s" + (f"; {await self.describe()}" if describe else "")


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)

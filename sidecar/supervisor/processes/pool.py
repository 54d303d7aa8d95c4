"""N positions with one serving worker each. Dead workers are replaced without the front noticing.

A *position* (0 to N-1) owns symlinks that lead to the worker that serves there (socket_links.py). A *slot*
identifies a living worker: the lowest free number when it starts. During a rolling restart, the new worker of
position 0 has slot N. Metric files and the sockets behind the symlinks are named by slot.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path

from sidecar.control.channel import Beat, WorkerSettings
from sidecar.domain.gateway_status import WorkerStatus
from sidecar.domain.snapshot import Snapshot
from sidecar.supervisor.metrics.page import SupervisorMetrics
from sidecar.supervisor.processes import hangs, process
from sidecar.supervisor.processes.process import CrashLoop, describe_exit, signal_group
from sidecar.supervisor.processes.socket_links import SocketLinks
from sidecar.supervisor.processes.worker import WORKER_COMMAND, Answers, WorkerFailed, WorkerHandle
from sidecar.supervisor.start.options import HANG_S

_log = logging.getLogger("sidecar")
GRPC_SOCKET = "grpc.sock"
# How long a killed worker may take to disappear before another one starts next to it.
_GONE_S = 1.0
# A loop that is blocked repeatedly is logged once a minute.
_HELD_LOG_S = 60.0


class Pool:
    """The workers. `settings` are what they share (slot is filled in), `snapshot` is the initial one. `ended`
    receives the slot of each worker whose process is gone."""

    def __init__(
        self,
        settings: WorkerSettings,
        snapshot: Snapshot,
        count: int,
        metrics: SupervisorMetrics,
        answers: Answers,
        command: Sequence[str] = WORKER_COMMAND,
        *,
        ended: Callable[[int], None] = lambda slot: None,
        hang_s: float = HANG_S,
    ) -> None:
        self._settings = settings
        self._links = SocketLinks(Path(settings.run_dir))
        self._snapshot = snapshot
        self._metrics = metrics
        self._answers = answers
        self._command = command
        self._ended = ended
        self._serving: list[WorkerHandle | None] = [None] * count
        self._changing = [asyncio.Lock() for _ in range(count)]  # one start at a time per position
        self._crash_loops = [CrashLoop() for _ in range(count)]
        self._slots: dict[int, WorkerHandle | None] = {}  # None while its process is being started
        self._retired: set[WorkerHandle] = set()  # replaced, but still finishing their calls
        self._left = asyncio.Event()  # set when one of those has ended
        self._tasks: set[asyncio.Task[object]] = set()
        self._closing = asyncio.Event()
        self._hang_s = hang_s
        self._held_log = hangs.LogThrottle(_HELD_LOG_S)
        self._watching: asyncio.Task[object] | None = None
        self._leaving = False

    @property
    def snapshot(self) -> Snapshot:
        """The newest configuration."""
        return self._snapshot

    def statuses(self) -> list[WorkerStatus]:
        """The status of all living workers, for people."""
        return [worker.status(self._state_of(worker)) for worker in self._living()]

    def _state_of(self, worker: WorkerHandle) -> str:
        if worker.hangs:
            return "hangs"
        if self._serving[worker.position] is worker:
            return "serving"
        return "starting" if worker.ready is None else "draining"

    async def start(self) -> None:
        """Starts a worker in each position, in parallel. Raises WorkerFailed if one cannot serve."""
        for position in range(len(self._serving)):
            self._metrics.loop_held(position, 0.0)
        self._watching = asyncio.create_task(hangs.watch(self._living, self._hang_s, self._silent))
        try:
            async with asyncio.TaskGroup() as starts:
                for position in range(len(self._serving)):
                    starts.create_task(self._fill(position))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        if self._settings.grpc_socket:
            self._links.name_first(GRPC_SOCKET)

    async def reload(self, snapshot: Snapshot) -> None:
        """Passes the snapshot to all workers and waits for each, including those that are starting (their local
        gRPC port accepts calls before they are in position), retired or draining. One that does not confirm is
        replaced."""
        self._snapshot = snapshot
        async with asyncio.TaskGroup() as reloads:
            for worker in self._living():
                reloads.create_task(self._reload_one(worker, snapshot))

    async def restart(self, lame_duck_s: float, grace_s: float) -> None:
        """Rolling restart: starts a new worker in each position, waits for its health, then switches over. The old
        one accepts no new connections and continues for `lame_duck_s`, until its clients have moved, then it
        drains. The next position does not wait for that, but a third restart does: at most three generations
        coexist.
        """
        while len(self._retired) > len(self._serving):
            self._left.clear()
            await self._left.wait()
        for position in range(len(self._serving)):
            async with self._changing[position]:
                if self._closing.is_set():
                    return
                old = self._serving[position]
                try:
                    await self._fill(position)
                except WorkerFailed as error:
                    _log.error(
                        "The rolling restart stopped and the old workers stay: the new worker %d %s.", position, error
                    )
                    return
                if old is not None and old.process.returncode is None:
                    self._retired.add(old)
                    self._run(self._retire(old, lame_duck_s, grace_s))
        _log.info("Rolling restart: %d new workers are serving.", len(self._serving))

    async def _retire(self, worker: WorkerHandle, lame_duck_s: float, grace_s: float) -> None:
        await worker.retire(lame_duck_s)
        await worker.drain(grace_s)

    async def leave(self) -> None:
        """All workers make load balancers go elsewhere, and continue to serve."""
        self._leaving = True
        await asyncio.gather(*(worker.not_ready() for worker in self._living()))

    async def drain(self, grace_s: float) -> None:
        """Stops restarting; all workers finish their calls in parallel, and end."""
        self._closing.set()
        for worker in self._living():
            if worker.ready is None:
                worker.kill()
            else:
                self._run(worker.drain(grace_s))
        await self._all_ended()

    async def kill(self) -> None:
        """Kills all workers at once."""
        self._closing.set()
        for worker in self._living():
            worker.kill()
        await self._all_ended()

    def takes_calls(self) -> bool:
        """Whether a worker is serving and load balancers are welcome. Callable from any thread."""
        return not self._leaving and not self._closing.is_set() and any(self._serving)

    def _living(self) -> list[WorkerHandle]:
        return [worker for worker in self._slots.values() if worker is not None]

    async def _all_ended(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._watching is not None:
            self._watching.cancel()

    async def _fill(self, position: int) -> None:
        """Starts a worker and lets it serve in the position. Raises WorkerFailed."""
        slot = next(number for number in range(len(self._slots) + 1) if number not in self._slots)
        self._slots[slot] = None
        try:
            settings = replace(self._settings, slot=slot, metrics_fd=self._metrics.memory_of(slot))
            worker = await WorkerHandle.start(settings, position, self._answers, self._command, held=self._on_held)
        except BaseException:
            del self._slots[slot]
            raise
        self._slots[slot] = worker
        self._run(self._watch(worker))
        try:
            await worker.configure(self._snapshot)
            while worker.snapshot is not self._snapshot:  # reloaded in the meantime
                await worker.reload(self._snapshot)
            if self._leaving:
                await worker.not_ready()
            if self._closing.is_set() or worker.process.returncode is not None:
                raise WorkerFailed("ended before it served")
        except BaseException:
            worker.kill()
            raise
        self._serve(worker)

    def _serve(self, worker: WorkerHandle) -> None:
        self._links.lead(worker.position, worker.ready)
        self._serving[worker.position] = worker
        self._count()
        _log.info("Worker %s is serving.", worker.name)

    def _silent(self, worker: WorkerHandle, silent_s: float) -> None:
        if not worker.hangs:
            self._hung(worker, f"hangs: no sign of life for {silent_s:.1f} s")

    def _hung(self, worker: WorkerHandle, why: str) -> None:
        """Redirects the front at once, then records the worker's state and kills it, which also closes the
        connections waiting at its listeners. Another one is started."""
        worker.hangs = True
        self._metrics.worker_hangs.inc()
        serving = self._serving[worker.position] is worker
        if serving:
            self._serving[worker.position] = None
            self._count()
            other = next((other for other in self._serving if other is not None), None)
            if other is not None:
                self._links.lead(worker.position, other.ready)
        self._run(self._end_hung(worker, why, serving=serving))

    async def _end_hung(self, worker: WorkerHandle, why: str, *, serving: bool) -> None:
        what_next = "Replacing it" if serving and not self._closing.is_set() else "Killing it"
        _log.error("Worker %s %s. %s: %s", worker.name, why, what_next, await worker.describe())
        signal_group(worker.process, signal.SIGKILL)
        await process.ended(worker.process, _GONE_S)
        if serving:
            self._metrics.worker_restarts.inc()
            await self._refill(worker.position, time.monotonic() - worker.started_s)

    def _on_held(self, worker: WorkerHandle, beat: Beat) -> None:
        self._metrics.loop_held(worker.position, beat.held_s)
        more = self._held_log.turn(worker.position)
        if more is not None:
            _log.warning(
                "Worker %s: its event loop was blocked for %.1f s (%.1f s on the CPU) and its calls waited.%s",
                *(worker.name, beat.held_s, beat.on_cpu_s),
                f" It was blocked {more} more times since this was last logged." if more else "",
            )

    async def _watch(self, worker: WorkerHandle) -> None:
        code = await worker.process.wait()
        worker.close()
        del self._slots[worker.slot]
        self._metrics.forget_worker(worker.slot)
        self._ended(worker.slot)  # before another worker can get the slot
        self._retired.discard(worker)
        self._left.set()
        serving = self._serving[worker.position] is worker
        if serving:
            self._serving[worker.position] = None
            self._count()
        if worker.expected_to_end or not serving or self._closing.is_set():
            _log.info("Worker %s ended with %s.", worker.name, describe_exit(code))
            return
        _log.error("Worker %s died with %s. Starting another.", worker.name, describe_exit(code))
        self._metrics.worker_restarts.inc()
        self._run(self._refill(worker.position, time.monotonic() - worker.started_s))

    async def _refill(self, position: int, lived_s: float) -> None:
        """Retries until a worker serves in the position again, at growing intervals while that fails."""
        while not await self._closing_within(self._crash_loops[position].pause_s(lived_s)):
            began_s = time.monotonic()
            async with self._changing[position]:
                if self._closing.is_set() or self._serving[position] is not None:
                    return
                try:
                    await self._fill(position)
                except WorkerFailed as error:
                    _log.error("Worker %d %s. Trying again.", position, error)
                else:
                    return
            lived_s = time.monotonic() - began_s
            self._metrics.worker_restarts.inc()

    async def _closing_within(self, pause_s: float) -> bool:
        try:
            async with asyncio.timeout(pause_s):
                await self._closing.wait()
        except TimeoutError:
            pass
        return self._closing.is_set()

    async def _reload_one(self, worker: WorkerHandle, snapshot: Snapshot) -> None:
        try:
            await worker.reload(snapshot)
        except WorkerFailed as error:
            if worker.process.returncode is None and not worker.expected_to_end and not worker.hangs:
                self._hung(worker, str(error))

    def _count(self) -> None:
        self._metrics.workers_up.set(sum(worker is not None for worker in self._serving))

    def _run(self, work: Coroutine[object, object, object]) -> None:
        task: asyncio.Task[object] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

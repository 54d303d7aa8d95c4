"""The supervisor's life: start everything in order, follow the configuration, stop everything in the reverse order."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from adapters import Task
from sidecar.config.watcher import Ask, Reload
from sidecar.control.channel import WorkerSettings
from sidecar.domain.snapshot import Snapshot
from sidecar.front.settings import METRICS_SOCKET
from sidecar.spend.archive import FILE_NAME
from sidecar.spend.prices import with_prices
from sidecar.supervisor.configuration import Configuration, Refused
from sidecar.supervisor.log_files import LogFiles
from sidecar.supervisor.metrics.envoy import translated
from sidecar.supervisor.metrics.front import FrontMetrics
from sidecar.supervisor.metrics.page import MetricsPage, SupervisorMetrics
from sidecar.supervisor.metrics.spend_keeper import Books
from sidecar.supervisor.processes.pool import GRPC_SOCKET, Pool
from sidecar.supervisor.processes.ports import probe, reserve
from sidecar.supervisor.processes.process import in_daemon_thread
from sidecar.supervisor.processes.worker import WORKER_COMMAND, WorkerFailed
from sidecar.supervisor.reload_socket import ReloadSocket
from sidecar.supervisor.route_admin import Changes
from sidecar.supervisor.start.announcement import Endpoints, env_text, env_values, serving_text
from sidecar.supervisor.start.options import BEATS, Options
from sidecar.supervisor.start.self_check import reachable
from sidecar.supervisor.start.services import Children
from sidecar.supervisor.start.start_error import StartError
from sidecar.supervisor.start.state import StateDir, write_private

_log = logging.getLogger("sidecar")
Announce = Callable[[str], None]  # called once it serves, with the text for the operator


def run(options: Options, announce: Announce, worker_command: Sequence[str] = WORKER_COMMAND) -> int:
    """Serves until it is told to stop. Returns the exit code; raises StartError, with nothing left running."""
    with ExitStack() as cleanup:
        state = StateDir.open(options.state_dir)
        cleanup.callback(state.close)
        return asyncio.run(Supervisor(options, state, cleanup, announce, worker_command).run())


class Supervisor:
    """Made by `run`. Its constructor does what blocks: it tries the ports, reads the configuration, fetches the model."""

    def __init__(
        self, options: Options, state: StateDir, cleanup: ExitStack, announce: Announce, worker_command: Sequence[str]
    ) -> None:
        self._options = options
        self._state = state
        self._cleanup = cleanup
        self._announce = announce
        self._bind()
        self._children = Children(options, state, self._front)
        self._children.find_front()
        self._configuration = Configuration(options, state, self._children.local_base_url)
        self._snapshot = self._configuration.load()
        self._children.fetch_model(self._snapshot)
        self._metrics = SupervisorMetrics()
        cleanup.callback(self._metrics.close)
        self._books = self._open_books()
        self._log_files = LogFiles(state.logs, options.log_path, options.log_bytes)
        self._changes = Changes(self._configuration, self._prepare, self._use)
        self._pool = self._make_pool(worker_command)
        self._stop = asyncio.Event()
        self._stop_again = asyncio.Event()
        self._stop_signal = signal.SIGTERM
        self._restart_asked = asyncio.Event()
        self._reload_socket = ReloadSocket(self._reload, lambda: self._configuration.snapshot)

    def _bind(self) -> None:
        options = self._options
        self._front = self._grpc = self._page = None
        if options.front_address is not None:
            self._front = probe(options.front_address, "front", "--port")
        if options.grpc_address is not None:
            self._grpc, held = reserve(options.grpc_address, "local gRPC port", "--grpc")
            self._cleanup.enter_context(held)
        if options.metrics_address is not None:
            self._page = probe(options.metrics_address, "metrics port", "--metrics")

    def _open_books(self) -> Books:
        books = Books(self._state.run, self._state.root / FILE_NAME)
        self._cleanup.callback(books.close)
        self._metrics.registry.register(books)
        return books

    def _make_pool(self, worker_command: Sequence[str]) -> Pool:
        settings = WorkerSettings(
            slot=0,
            run_dir=str(self._state.run),
            grpc_socket=self._options.grpc_socket,
            grpc_address=None if self._grpc is None else str(self._grpc),
            access_log=self._options.access_log,
            log_path=None if self._options.log_path is None else str(self._options.log_path),
            beat_s=self._options.hang_s / BEATS,
        )
        self._books.use(self._snapshot)
        self._priced = (self._snapshot, with_prices(self._snapshot, time.time()))
        return Pool(
            settings,
            self._priced[1],
            self._options.workers,
            self._metrics,
            self._changes.make,
            worker_command,
            ended=self._books.forget_worker,
            hang_s=self._options.hang_s,
        )

    async def run(self) -> int:
        self._listen_to_signals()
        start = asyncio.create_task(self._start())
        try:
            if not await _finished_before(start, self._stop):
                start.cancel()
                await asyncio.gather(start, return_exceptions=True)
                return 128 + self._stop_signal
            start.result()
            await self._until_stopped()
            stop = asyncio.create_task(self._drain())
            if await _finished_before(stop, self._stop_again):
                stop.result()
                _log.info("stopped")
                return 0
            stop.cancel()
            return 128 + self._stop_signal
        finally:
            await self._kill()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        loop.add_signal_handler(signal.SIGUSR2, self._restart_asked.set)

    def _on_hangup(self) -> None:
        self._reload(Ask())

    def _reload(self, ask: Ask) -> None:
        self._configuration.ask(ask)
        self._children.reload_front()

    def _on_stop(self, number: signal.Signals) -> None:
        self._stop_signal = number
        if not self._stop.is_set():
            _log.info("%s: stopping; calls under way may finish, once more to stop at once", number.name)
            self._stop.set()
        else:
            _log.warning("%s: stopping at once", number.name)
            self._stop_again.set()

    async def _start(self) -> None:
        await self._children.start_local(self._snapshot)
        self._metrics.use_config(self._snapshot.hash)
        try:
            await self._pool.start()
        except WorkerFailed as error:
            raise StartError(f"a worker {error}") from None
        if self._page is not None:
            self._cleanup.callback(MetricsPage(self._page, self._metrics.registry).close)
        await self._children.start_front(self._snapshot)
        if self._front is not None:
            page = self._state.front / "run" / METRICS_SOCKET
            names = translated if self._options.front_program == "envoy" else iter
            self._metrics.registry.register(FrontMetrics(self._front, self._children.certificate, page, names))
        endpoints = Endpoints(
            state_dir=self._state.root,
            front=None if self._front is None else reachable(self._front),
            grpc=self._grpc,
            grpc_socket=self._state.run / GRPC_SOCKET if self._options.grpc_socket else None,
            metrics=self._page,
            ca=self._children.ca,
            credential=self._children.credential,
        )
        write_private(self._state.env, env_text(env_values(endpoints)))
        await self._reload_socket.open(self._state.run)
        answer = await self._children.first_chat(self._snapshot)
        self._announce(serving_text(endpoints, _chat_route(self._snapshot), answer))

    async def _until_stopped(self) -> None:
        duties = [
            asyncio.create_task(duty)
            for duty in (self._follow_config(), self._follow_restarts(), self._books.keep(), self._log_files.keep())
        ]
        try:
            stop = asyncio.create_task(self._stop.wait())
            done, _ = await asyncio.wait([stop, *duties], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a duty only ends by a bug: say so loudly
        finally:
            self._reload_socket.close()
            for task in (stop, *duties):
                task.cancel()
            await asyncio.gather(*duties, return_exceptions=True)

    async def _follow_config(self) -> None:
        async for reload in self._configuration.changes():
            async with self._changes.turn:
                refused = await self._take(reload)
            if refused is None:
                self._metrics.reloaded("success")
            else:
                self._metrics.reloaded("unconfirmed" if refused.unconfirmed else "failure")
            for ask in reload.asks:
                ask.answer("" if refused is None else refused.why)

    async def _take(self, reload: Reload) -> Refused | None:
        """None: it is in use."""
        reading = await asyncio.to_thread(self._configuration.up_to_date, reload)
        if isinstance(reading, Refused):
            return reading
        try:
            await self._prepare(reading.snapshot)
        except StartError as error:
            _log.error("configuration not taken, the old one stays: %s", error)
            return Refused(str(error))
        self._configuration.taken(reading)
        await self._use(reading.snapshot)
        _log.info("configuration %s in use: %d routes", reading.snapshot.hash, len(reading.snapshot.routes))
        return None

    async def _prepare(self, snapshot: Snapshot) -> None:
        """Starts what the snapshot needs. Raises StartError."""
        await in_daemon_thread(partial(self._children.fetch_model, snapshot))
        await self._children.start_local(snapshot)

    async def _use(self, snapshot: Snapshot) -> None:
        """Returns once every worker goes by it."""
        self._priced = (snapshot, await asyncio.to_thread(with_prices, snapshot, time.time(), self._priced))
        await self._pool.reload(self._priced[1])
        self._books.use(snapshot)
        self._metrics.use_config(snapshot.hash)

    async def _follow_restarts(self) -> None:
        while True:
            await self._restart_asked.wait()
            self._restart_asked.clear()
            await self._pool.restart(self._options.lame_duck_s, self._options.drain_grace_s)

    async def _drain(self) -> None:
        """Workers first (their calls end), then the front (it sends what is left), then the local model."""
        await self._pool.drain(self._options.drain_grace_s)
        await self._children.stop()

    async def _kill(self) -> None:
        await self._children.kill()
        await self._pool.kill()


async def _finished_before(task: asyncio.Task[None], event: asyncio.Event) -> bool:
    """Waits for whichever comes first; True when the task has ended."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return task.done()


def _chat_route(snapshot: Snapshot) -> str | None:
    return next((route.name for route in snapshot.routes.values() if route.task is Task.CHAT), None)

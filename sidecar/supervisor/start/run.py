"""The supervisor's life: start everything in order, follow the configuration, stop everything in reverse order."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from adapters import Task
from sidecar.config.watcher import Ask, ConfigChange
from sidecar.control.channel import WorkerSettings
from sidecar.domain.gateway_status import WorkerStatus
from sidecar.domain.snapshot import Snapshot
from sidecar.front.settings import METRICS_SOCKET
from sidecar.spend.archive import FILE_NAME
from sidecar.spend.prices import with_prices
from sidecar.supervisor.configuration import ConfigRefused
from sidecar.supervisor.log_files import LogFiles
from sidecar.supervisor.metrics.envoy import translated
from sidecar.supervisor.metrics.front import FrontMetrics
from sidecar.supervisor.metrics.page import MetricsPage
from sidecar.supervisor.processes.pool import GRPC_SOCKET, Pool
from sidecar.supervisor.processes.process import in_daemon_thread
from sidecar.supervisor.processes.worker import WORKER_COMMAND, Answers, WorkerFailed
from sidecar.supervisor.reload_socket import ReloadSocket
from sidecar.supervisor.route_admin import RouteAdmin
from sidecar.supervisor.start.announcement import Endpoints, env_text, env_values, serving_text
from sidecar.supervisor.start.descriptors import shortage
from sidecar.supervisor.start.options import BEATS, Options
from sidecar.supervisor.start.prepare import Parts, prepare
from sidecar.supervisor.start.self_check import Entrance, reachable, served
from sidecar.supervisor.start.start_error import StartError
from sidecar.supervisor.start.state import StateDir, write_private
from sidecar.supervisor.start.stop_signals import StopSignals
from sidecar.supervisor.status import Sources, StatusBoard

_log = logging.getLogger("sidecar")
Announce = Callable[[str], None]  # called once it is serving, with the text for the operator


def run(options: Options, announce: Announce, worker_command: Sequence[str] = WORKER_COMMAND) -> int:
    """Serves until a signal stops it. Returns the exit code; raises StartError, with nothing left running."""
    with ExitStack() as cleanup:
        state = StateDir.open(options.state_dir)
        cleanup.callback(state.close)
        parts = prepare(options, state, cleanup)
        return asyncio.run(Supervisor(options, state, parts, cleanup, announce, worker_command).run())


class Supervisor:
    """Created by `run`; `run()` starts the processes and ends with them."""

    def __init__(
        self,
        options: Options,
        state: StateDir,
        parts: Parts,
        cleanup: ExitStack,
        announce: Announce,
        worker_command: Sequence[str],
    ) -> None:
        self._options = options
        self._state = state
        self._ports = parts.ports
        self._services = parts.services
        self._configuration = parts.configuration
        self._snapshot = parts.snapshot
        self._priced = (parts.snapshot, parts.priced)
        self._metrics = parts.metrics
        self._spend_keeper = parts.spend_keeper
        self._cleanup = cleanup
        self._announce = announce
        self._log_files = LogFiles(state.logs, options.log_path, options.log_bytes)
        self._sharing = parts.sharing
        self._route_admin = RouteAdmin(self._configuration, self._prepare, self._use, self._sharing.routes)
        self._status = StatusBoard(
            Sources(
                metrics=parts.metrics,
                archive=state.root / FILE_NAME,
                snapshot=lambda: self._configuration.snapshot,
                workers=self._workers,
                certificates=self._services.certificates,
                ca=lambda: self._services.ca,
                notes=self._sharing.notes,
            )
        )
        self._pool = Pool(
            self._worker_settings(),
            parts.priced,
            options.workers,
            self._metrics,
            Answers(self._route_admin.make, self._status.answer, self._status.failed),
            worker_command,
            ended=self._spend_keeper.forget_worker,
            hang_s=options.hang_s,
        )
        self._stop = StopSignals(options.drain_delay_s)
        self._restart_wanted = asyncio.Event()
        self._reload_socket = ReloadSocket(self._reload, lambda: self._configuration.snapshot)

    def _workers(self) -> list[WorkerStatus]:
        return self._pool.statuses()

    def _worker_settings(self) -> WorkerSettings:
        options = self._options
        return WorkerSettings(
            slot=0,
            run_dir=str(self._state.run),
            state_dir=str(self._state.root),
            grpc_socket=options.grpc_socket,
            grpc_address=None if self._ports.grpc is None else str(self._ports.grpc),
            access_log=options.access_log,
            log_path=None if options.log_path is None else str(options.log_path),
            beat_s=options.hang_s / BEATS,
            grpc_server=options.grpc_server,
            store_dir=str(self._state.store),
            gateway=self._state.gateway if self._snapshot.store is not None else "",
        )

    async def run(self) -> int:
        self._listen_to_signals()
        start = asyncio.create_task(self._start())
        try:
            if not await _finished_before(start, self._stop.first):
                start.cancel()
                await asyncio.gather(start, return_exceptions=True)
                return self._stop.exit_code
            start.result()
            await self._until_stopped()
            stop = asyncio.create_task(self._drain())
            if await _finished_before(stop, self._stop.again):
                stop.result()
                _log.info("The gateway has stopped.")
                return 0
            stop.cancel()
            return self._stop.exit_code
        finally:
            await self._kill()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        self._stop.listen()
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        loop.add_signal_handler(signal.SIGUSR2, self._restart_wanted.set)

    def _on_hangup(self) -> None:
        self._reload(Ask())

    def _reload(self, ask: Ask) -> None:
        self._configuration.ask(ask)
        self._services.reload_front()

    async def _start(self) -> None:
        if (short := shortage(self._snapshot, front=self._ports.front is not None)) is not None:
            _log.warning("%s", short)
        await self._services.start_local(self._snapshot)
        self._metrics.use_config(self._snapshot)
        self._spend_keeper.use(self._snapshot)
        await self._spend_keeper.prepare()
        try:
            await self._pool.start()
        except WorkerFailed as error:
            raise StartError(f"A worker {error}.") from None
        await self._sharing.join()
        if self._ports.metrics is not None:
            page = MetricsPage.open(self._ports.metrics, self._metrics.registry, self._pool.takes_calls)
            self._cleanup.callback(page.close)
        await self._services.start_front(self._snapshot, self._metrics)
        front = self._ports.front
        if front is not None:
            socket = self._state.front / "run" / METRICS_SOCKET
            names = translated if front.program == "envoy" else iter
            ports = {each.port for each in (*front.addresses, *front.plain)}
            self._metrics.registry.register(FrontMetrics(ports, partial(served, Entrance.of(front)), socket, names))
        endpoints = Endpoints(
            state_dir=self._state.root,
            front=None if front is None else reachable(front.addresses[0]),
            plain=() if front is None else front.plain,
            grpc=self._ports.grpc,
            grpc_socket=self._state.run / GRPC_SOCKET if self._options.grpc_socket else None,
            metrics=None if self._ports.metrics is None else reachable(self._ports.metrics),
            ca=self._services.ca,
            credential=self._services.credential,
        )
        try:
            write_private(self._state.env, env_text(env_values(endpoints)))
        except OSError as error:
            raise StartError(f"{self._state.env} cannot be written: {error.strerror}.") from None
        await self._reload_socket.open(self._state.run)
        answer = await self._services.first_chat(self._snapshot)
        self._announce(serving_text(endpoints, _chat_route(self._snapshot), answer))

    async def _until_stopped(self) -> None:
        duties = [
            asyncio.create_task(duty)
            for duty in (
                self._follow_config(),
                self._follow_restarts(),
                self._spend_keeper.keep(),
                self._log_files.keep(),
                self._sharing.follow(),
            )
        ]
        try:
            stop = asyncio.create_task(self._leave())
            done, _ = await asyncio.wait([stop, *duties], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # only a bug ends such a task: report it
        finally:
            self._reload_socket.close()
            for task in (stop, *duties):
                task.cancel()
            await asyncio.gather(*duties, return_exceptions=True)

    async def _leave(self) -> None:
        """Returns when the gateway has to stop: load balancers have had their time to notice."""
        await self._stop.first.wait()
        if self._options.drain_delay_s:
            await self._pool.leave()
            await self._stop.delay_passed()

    async def _follow_config(self) -> None:
        async for reload in self._configuration.changes():
            async with self._route_admin.turn:
                self._status.refused = refused = await self._take(reload)
            if refused is None:
                self._metrics.reloaded("success")
            else:
                self._metrics.reloaded("unconfirmed" if refused.unconfirmed else "failure")
            for ask in reload.asks:
                ask.answer("" if refused is None else refused.why)

    async def _take(self, reload: ConfigChange) -> ConfigRefused | None:
        """None if it is in use."""
        reading = await asyncio.to_thread(self._configuration.up_to_date, reload)
        if isinstance(reading, ConfigRefused):
            return reading
        try:
            await self._prepare(reading.snapshot)
        except StartError as error:
            _log.error("The new configuration was refused; the old one stays in use: %s", error)
            return ConfigRefused(str(error))
        self._configuration.taken(reading)
        await self._use(reading.snapshot)
        _log.info("Configuration %s is in use: %s.", reading.snapshot.hash, _count(len(reading.snapshot.routes)))
        return None

    async def _prepare(self, snapshot: Snapshot) -> None:
        """Starts what the snapshot needs. Raises StartError."""
        if snapshot.store != self._snapshot.store:
            raise StartError(
                "`store` is read when the gateway starts. Stop the gateway and start it again to change it."
            )
        await in_daemon_thread(partial(self._services.fetch_model, snapshot))
        await self._services.start_local(snapshot)

    async def _use(self, snapshot: Snapshot) -> None:
        """Returns once every worker uses it."""
        self._priced = (snapshot, await asyncio.to_thread(with_prices, snapshot, time.time(), self._priced))
        await self._pool.reload(self._priced[1])
        await self._services.use(snapshot)
        self._spend_keeper.use(snapshot)
        self._metrics.use_config(snapshot)

    async def _follow_restarts(self) -> None:
        while True:
            await self._restart_wanted.wait()
            self._restart_wanted.clear()
            await self._pool.restart(self._options.lame_duck_s, self._options.drain_grace_s)

    async def _drain(self) -> None:
        """Workers first (their calls end), then the front (it sends what is left), then the local model."""
        await self._pool.drain(self._options.drain_grace_s)
        await self._spend_keeper.catch_up()
        await self._services.stop()

    async def _kill(self) -> None:
        await self._services.kill()
        await self._pool.kill()


async def _finished_before(task: asyncio.Task[None], event: asyncio.Event) -> bool:
    """Waits for whichever comes first. Returns whether the task has ended."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return task.done()


def _count(routes: int) -> str:
    return f"{routes} route{'s' * (routes != 1)}"


def _chat_route(snapshot: Snapshot) -> str | None:
    return next((route.name for route in snapshot.routes.values() if route.task is Task.CHAT), None)

"""What `up` runs in addition to the workers: the local model, and the front with its certificate and users.

`serve` runs neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sidecar.domain.gateway_status import CertificateStatus
from sidecar.domain.snapshot import Snapshot
from sidecar.supervisor.file_watch import on_change
from sidecar.supervisor.metrics.page import SupervisorMetrics
from sidecar.supervisor.processes.process import own_env, plain_env
from sidecar.supervisor.processes.service import Service
from sidecar.supervisor.start.announcement import Credential, known_credential
from sidecar.supervisor.start.first_user import first_user, known_user
from sidecar.supervisor.start.local_routes import is_local, uses_local_model
from sidecar.supervisor.start.options import FrontOptions, Options
from sidecar.supervisor.start.self_check import Entrance, FirstChatFailed, first_chat, healthy
from sidecar.supervisor.start.served_certificate import ServedCertificate
from sidecar.supervisor.start.start_error import StartError, words_of
from sidecar.supervisor.start.state import StateDir

if TYPE_CHECKING:  # not needed by `serve`
    from sidecar.front.programs import Program
    from sidecar.front.settings import FrontSettings
    from sidecar.supervisor.start.front_reload import FrontReload

# Loading takes half a second from a warm disk, and a minute from a cold one on a busy machine.
_MODEL_READY_S = 120.0
_FRONT_READY_S = 20.0
# The workers have ended by then; the front only sends what slow clients have not received (its send_timeout is 30
# s).
_FRONT_QUIT_S = 35.0
_MODEL_STOP_S = 5.0
# The front must outwait the longest call, or it answers 504 first.
_FRONT_READ_TIMEOUT_S_MIN = 3900
_FRONT_READ_MARGIN_S = 60


class Services:
    """The local model, which will listen on `local_port`, and the front, whose ports are free. None: not run."""

    def __init__(self, options: Options, state: StateDir, front: FrontOptions | None, local_port: int | None) -> None:
        self._options = options
        self._state = state
        self._options_of_front = front
        self._front: Service | None = None
        self._front_settings: FrontSettings | None = None  # as it is running
        self._reload: FrontReload | None = None
        self._reloading: asyncio.Task[bool] | None = None
        self._following: list[asyncio.Task[None]] = []
        self._certificate: ServedCertificate | None = None
        self._local: Service | None = None
        self._model: Path | None = None
        self._local_port = local_port
        self._files_usable: Callable[[], bool] = lambda: True
        self.credential = Credential()

    @classmethod
    def open(cls, options: Options, state: StateDir, front: FrontOptions | None) -> Services:
        """Reads the credential of an earlier start, and chooses a free port for the local model."""
        local_port = None
        if front is not None:
            from sidecar import local

            local_port = local.free_port()
        services = cls(options, state, front, local_port)
        services.credential = known_credential(state.env)
        return services

    @property
    def local_base_url(self) -> str | None:
        """The address of the local model; None without a front."""
        if self._local_port is None:
            return None
        from sidecar import local

        return local.base_url(self._local_port)

    @property
    def ca(self) -> Path | None:
        """The CA that clients have to trust; None without a front, or with an operator's certificate."""
        front = self._options_of_front
        return self._state.root / "ca.pem" if front is not None and front.tls is None else None

    @property
    def certificate(self) -> Path:
        """The certificate as the front reads it."""
        return self._state.root / "tls.crt" if self._certificate is None else self._certificate.chain

    def certificates(self) -> tuple[CertificateStatus, ...]:
        """Returns what the front serves, and the private CA behind it. Blocks."""
        from sidecar.front import pki

        found = []
        for path in (self.certificate, self.ca):
            try:
                described = pki.describe("" if path is None else path.read_text(encoding="ascii"))
            except (OSError, ValueError):
                continue
            usable = path == self.ca or self._files_usable()
            found.append(
                CertificateStatus(described.subject, described.issuer, described.names, described.ends_s, usable)
            )
        return tuple(found)

    def fetch_model(self, snapshot: Snapshot) -> None:
        """Fetches the model's file if a route uses it and it is missing. Blocks. Raises StartError."""
        if self.local_base_url is None or self._model is not None or not uses_local_model(snapshot):
            return
        from sidecar import local

        try:
            self._model = local.ensure_model()
        except local.ModelError as error:
            raise StartError(str(error)) from None

    async def start_local(self, snapshot: Snapshot) -> None:
        """Starts the local model if a route uses it and it is not running; its file exists. Raises StartError."""
        url, port, model = self.local_base_url, self._local_port, self._model
        if url is None or port is None or model is None or self._local is not None or not uses_local_model(snapshot):
            return
        from sidecar import local

        service = Service(
            "The local model",
            lambda: local.command(model, port),
            log_path=self._state.logs / "local.log",
            env={**plain_env(), "PYTHONPATH": own_env()["PYTHONPATH"]},
            ready=lambda: local.ready(url),
            ready_timeout_s=_MODEL_READY_S,
        )
        try:
            await service.start()
        except BaseException:
            await service.kill()
            raise
        self._local = service

    def find_front(self) -> None:
        """Checks before anything runs that the program exists, and a certificate with its key. Raises StartError."""
        front = self._options_of_front
        if front is None:
            return
        from sidecar.front import pki, programs
        from sidecar.front.settings import FrontError

        try:
            programs.program(front.program).find()
            if front.tls is not None:
                pki.check_pair(*front.tls)
        except FrontError as error:
            raise StartError(str(error)) from None
        except (OSError, ValueError) as error:
            raise StartError(f"The front cannot start: {words_of(error)}.") from None

    async def start_front(self, snapshot: Snapshot, metrics: SupervisorMetrics) -> None:
        """Starts the front; returns once `GET /health` succeeds through it. Raises StartError."""
        front = self._options_of_front
        if front is None:
            return
        from sidecar.front import programs
        from sidecar.front.settings import FrontError
        from sidecar.identity.users import UsersError
        from sidecar.supervisor.start.front_reload import FrontReload

        folder = self._state.front
        try:
            program = programs.program(front.program)
            binary = await asyncio.to_thread(self._prepare_front, program, front, snapshot)
        except (FrontError, UsersError) as error:
            raise StartError(str(error)) from None
        except (OSError, ValueError) as error:
            raise StartError(f"The front cannot start: {words_of(error)}.") from None
        self._front = Service(
            program.title,
            lambda: program.command(folder, binary)[0],
            log_path=self._state.logs / f"{program.name}.log",
            ready=lambda: asyncio.to_thread(healthy, Entrance.of(front), self.certificate),
            ready_timeout_s=_FRONT_READY_S,
            stop_signal=program.stop_signal,
            death_signal=program.death_signal,
            drain=None if program.drain is None else partial(program.drain, folder),
            env=plain_env(),
            cwd=folder,
        )
        self._reload = FrontReload(program, binary, folder, metrics, self._front.signal)
        await self._front.start()
        self._follow(program, front, metrics)

    def _follow(self, program: Program, front: FrontOptions, metrics: SupervisorMetrics) -> None:
        """Applies changes of users and certificates while the front runs."""
        from sidecar.front import pki
        from sidecar.supervisor.start.certificate_duty import CertificateDuty

        folder, certificate = self._state.front, self._certificate
        self._files_usable = lambda: metrics.files_usable
        take_users = partial(program.take_users, users_file := front.users_file or self._state.users, folder)
        self._following.append(asyncio.create_task(on_change(users_file, take_users)))
        reload = self._reload
        assert certificate is not None
        assert reload is not None
        self._following.append(asyncio.create_task(reload.follow()))

        async def switch() -> bool:
            assert self._front_settings is not None
            self._front_settings = settings = replace(
                self._front_settings, tls_certificate=certificate.chain, tls_key=certificate.key
            )
            return await reload.apply(partial(program.take_certificate, settings, folder))

        renew = partial(pki.ensure_certificates, self._state.root, front.hosts) if front.tls is None else None
        duty = CertificateDuty(certificate, Entrance.of(front), metrics, switch, renew, lambda: reload.refusals)
        self._following.append(asyncio.create_task(duty.follow()))

    async def use(self, snapshot: Snapshot) -> None:
        """Applies what the configuration says about the front: which web pages may call."""
        front, settings = self._options_of_front, self._front_settings
        if front is None or settings is None or settings.cors_origins == snapshot.cors.origins:
            return
        from sidecar.front import programs

        self._front_settings = settings = replace(settings, cors_origins=snapshot.cors.origins)
        if self._reload is not None:
            take_cors = programs.program(front.program).take_cors
            await self._reload.apply(partial(take_cors, settings, self._state.front))

    def reload_front(self) -> None:
        """Makes the front reload its files, and checks the certificate again even if it was refused before."""
        if self._certificate is not None:
            self._certificate.look_again()
        if self._reload is not None:
            self._reloading = asyncio.create_task(self._reload.apply())

    async def first_chat(self, snapshot: Snapshot) -> str | None:
        """Makes a first chat through the front on the local model; returns None if there is nothing to ask. Raises
        StartError."""
        route = next((route for route in snapshot.routes.values() if is_local(route) and route.task == "chat"), None)
        key = self.credential.api_key
        front = self._options_of_front
        if route is None or front is None or key is None:
            return None
        try:
            return await asyncio.to_thread(first_chat, Entrance.of(front), self.certificate, key, route.name)
        except FirstChatFailed as error:
            raise StartError(f"{error} The logs are in {self._state.logs}.") from None

    async def stop(self) -> None:
        """In order: the front sends what is left, then the model ends."""
        for task in self._following:
            task.cancel()
        if self._front is not None:
            await self._front.stop(_FRONT_QUIT_S)
        if self._local is not None:
            await self._local.stop(_MODEL_STOP_S)

    async def kill(self) -> None:
        for task in self._following:
            task.cancel()
        for service in (self._front, self._local):
            if service is not None:
                await service.kill()

    def _prepare_front(self, program: Program, front: FrontOptions, snapshot: Snapshot) -> Path:
        """Writes what the program reads and returns its binary. Blocks."""
        from sidecar.front import pki
        from sidecar.front.settings import make_folder
        from sidecar.supervisor.start.certificate_duty import take

        state = self._state
        if front.tls is None:
            own = pki.ensure_certificates(state.root, front.hosts)
            certificate, key = own.certificate, own.key
        else:
            certificate, key = front.tls
        make_folder(state.front)
        self._certificate = served = ServedCertificate((certificate.absolute(), key.absolute()), state.front / "served")
        served.changed()
        take(served)
        self.credential = first_user(state) if front.users_file is None else known_user(front.users_file, state.env)
        longest_s = max((route.timeouts.total_s for route in snapshot.routes.values()), default=0)
        self._front_settings = settings = front.settings(
            core_sockets=tuple(state.run / f"w{position}.sock" for position in range(self._options.workers)),
            users_file=front.users_file or state.users,
            tls_certificate=served.chain,
            tls_key=served.key,
            cors_origins=snapshot.cors.origins,
            read_timeout_s=max(_FRONT_READ_TIMEOUT_S_MIN, int(longest_s) + _FRONT_READ_MARGIN_S),
        )
        binary = program.find()
        program.render(settings, state.front)
        program.check(state.front, binary)
        return binary

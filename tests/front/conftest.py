"""One real Nginx and one real Envoy for all tests of the front; a fresh double core behind them for each test.

A test that takes `front` runs against both, as does one that takes `program` and starts its own (start_front).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from sidecar.front.pki import ensure_certificates
from sidecar.front.programs import PROGRAMS, Program
from sidecar.front.settings import FrontSettings
from sidecar.identity.users import add_user, api_key
from tests.front.double import Core
from tests.processes import free_port

_NUMBER = itertools.count()
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
# Envoy asks its workers for their health that often here, because each test has a worker of its own.
HEALTH_INTERVAL_S = 0.02


@dataclass
class Front:
    """A running Nginx or Envoy."""

    program: Program
    settings: FrontSettings
    folder: Path
    ca: Path
    users_file: Path
    user: str
    password: str
    process: subprocess.Popen[bytes]

    @property
    def port(self) -> int:
        return self.settings.listen_port

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def basic(self) -> dict[str, str]:
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return {"authorization": f"Basic {pair}"}

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key(self.user, self.password)}"}

    @property
    def link(self) -> Path:
        return self.settings.core_sockets[0]

    @property
    def logs(self) -> str:
        folder = self.folder.with_name("logs")
        return "".join(file.read_text(errors="replace") for file in sorted(folder.iterdir()))

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def http(self, version: int = 1, **options: object) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url,
            verify=self.tls(),
            http1=version == 1,
            http2=version == 2,
            timeout=30,
            **options,  # type: ignore[arg-type]
        )

    def channel(self) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        return grpc.aio.secure_channel(f"localhost:{self.port}", credentials)

    def stop(self) -> None:
        """Calls under way finish first."""
        if self.program.drain is not None:  # a test's own loop may run in this thread
            with ThreadPoolExecutor(1) as pool:
                pool.submit(lambda: asyncio.run(_drain(self))).result()
        self.process.send_signal(self.program.stop_signal)
        try:
            self.process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=STOP_TIMEOUT_S)

    def take_users(self) -> None:
        """What the supervisor does when the users file has changed."""
        with suppress(OSError):  # it is said in the log there
            self.program.take_users(self.users_file, self.folder)


async def _drain(front: Front) -> None:
    assert front.program.drain is not None
    await front.program.drain(front.folder, STOP_TIMEOUT_S)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """At once: TLS's own goodbye would wait for the other side."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


def start_front(state: Path, program: Program = PROGRAMS["nginx"], **changes: object) -> Front:
    """A front in its own state folder, accepting connections when this returns."""
    users_file = state / "users"
    password = add_user(users_file, "alice")
    certificates = ensure_certificates(state)
    for name in ("run", "logs"):
        (state / name).mkdir(mode=0o700, exist_ok=True)
    settings = FrontSettings(
        core_sockets=(state / "run" / "w0.sock", state / "run" / "w1.sock"),
        users_file=users_file,
        tls_certificate=certificates.certificate,
        tls_key=certificates.key,
        listen_port=free_port(),
        error_log=state / "logs" / "error.log",
        access_log=state / "logs" / "access.log",
        health_interval_s=HEALTH_INTERVAL_S,
    )
    settings = replace(settings, **changes)  # type: ignore[arg-type]
    folder = state / "front"
    program.render(settings, folder)
    program.check(folder, None)
    argv, cwd = program.command(folder, program.find())
    with open(state / "logs" / "stderr.log", "ab") as log:
        process = subprocess.Popen(argv, cwd=cwd, stderr=log)
    front = Front(program, settings, folder, certificates.ca, users_file, "alice", password, process)
    _wait_for_port(front)
    return front


def _wait_for_port(front: Front) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", front.port), timeout=1).close()
        except OSError:
            assert front.process.poll() is None, front.logs
            assert time.monotonic() < deadline, front.logs
            time.sleep(0.01)
        else:
            return


@pytest.fixture(scope="session", params=PROGRAMS.values(), ids=list(PROGRAMS))
def front(request: pytest.FixtureRequest) -> Iterator[Front]:
    state = Path(tempfile.mkdtemp(prefix="front-"))  # a short path: unix sockets have 107 bytes
    running = start_front(state, request.param)
    yield running
    running.stop()
    shutil.rmtree(state)


@pytest.fixture(params=PROGRAMS.values(), ids=list(PROGRAMS))
def program(request: pytest.FixtureRequest) -> Program:
    """Each of the two, for a test that starts a front with settings of its own."""
    chosen: Program = request.param
    return chosen


@pytest.fixture
def state() -> Iterator[Path]:
    """An empty state folder with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="front-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def core(front: Front) -> AsyncIterator[Core]:
    started = await start_core(front, wait=False)
    try:
        await passes_on(front, started)
        yield started
    finally:
        await started.stop()


async def start_core(front: Front, link: Path | None = None, *, wait: bool = True) -> Core:
    """A core behind the link, which the front knows to be healthy when this returns (see passes_on)."""
    link = link or front.link
    started = Core(link.with_name(f"core-{next(_NUMBER)}.sock"))
    await started.start(link)
    if wait:
        await passes_on(front, started)
    return started


async def passes_on(front: Front, core: Core) -> None:
    """Waits until calls go to the core. Envoy sends them only where its health check went well: the first answer is heard once
    it asks a second time, and a call shows that the thread which takes calls has heard of it too."""
    if front.program.name != "envoy":
        return
    deadline = time.monotonic() + START_TIMEOUT_S
    async with front.http() as http:
        while core.health_checks < 2 or (await http.get("/health")).status_code != 200:
            assert time.monotonic() < deadline, front.logs
            await asyncio.sleep(HEALTH_INTERVAL_S / 2)
    core.calls.clear()
    core.arrived.clear()


# (program, **settings): a front of the test's own, and a core behind it.
Running = Callable[..., AbstractAsyncContextManager[tuple[Front, Core]]]


@pytest.fixture
def running(state: Path) -> Running:
    @asynccontextmanager
    async def start(program: Program, **changes: Any) -> AsyncIterator[tuple[Front, Core]]:
        front = await asyncio.to_thread(start_front, state, program, **changes)
        try:
            # What speaks PROXY protocol cannot be asked here whether it has found its core.
            core = await start_core(front, wait=not front.settings.proxy_protocol)
            try:
                yield front, core
            finally:
                await core.stop()
        finally:
            await asyncio.to_thread(front.stop)

    return start

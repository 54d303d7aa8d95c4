"""`sidecar reload`: connecting to run/reload.sock makes the supervisor reload its configuration, and returns the
result."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sidecar.config.watcher import Ask
from sidecar.domain.snapshot import Snapshot

_NAME = "reload.sock"
# Number of reported problems; the rest is in the log.
_REASONS_CHARS_MAX = 64 * 1024
_VERDICT_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` is "" if the configuration with this `hash` and number of routes is in use."""

    why: str
    hash: str
    routes: int


class ReloadSocket:
    """Listens from `open` to `close`. The directory is private, so only the operator can connect."""

    def __init__(self, reload: Callable[[Ask], None], in_use: Callable[[], Snapshot]) -> None:
        self._reload = reload
        self._in_use = in_use
        self._server: asyncio.Server | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    async def open(self, run: Path) -> None:
        self._server = await asyncio.start_unix_server(self._serve, run / _NAME)

    def close(self) -> None:
        """Drops clients that are waiting for a result."""
        if self._server is not None:
            self._server.close()
        for task in self._waiting:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verdict_text: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reload(Ask(verdict_text))
        gone = asyncio.ensure_future(reader.read(1))  # the command was ended
        futures: list[asyncio.Future[Any]] = [verdict_text, gone]
        try:
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if verdict_text.done():
                snapshot = self._in_use()
                verdict = Verdict(verdict_text.result()[:_REASONS_CHARS_MAX], snapshot.hash, len(snapshot.routes))
                writer.write(json.dumps(asdict(verdict)).encode())
                await writer.drain()
        except OSError:
            return
        finally:
            gone.cancel()
            writer.close()


def ask_for_reload(run: Path, timeout_s: float) -> Verdict:
    """Returns once the gateway has reloaded its configuration. Raises OSError (nothing listens), TimeoutError."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout_s)
        sock.connect(str(run / _NAME))
        data = bytearray()
        while piece := sock.recv(64 * 1024):
            data += piece
            if len(data) > _VERDICT_BYTES_MAX:
                raise OSError("its answer is too long")
    if not data:
        raise ConnectionResetError("it stopped while it was loading the configuration")
    return Verdict(**json.loads(data))

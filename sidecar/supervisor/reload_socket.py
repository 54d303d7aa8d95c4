"""`sidecar reload`: a connection to run/reload.sock asks the supervisor to read its configuration, and hears what came of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sidecar.reload import Ask
from sidecar.snapshot import Snapshot

_NAME = "reload.sock"
# Reasons of a file with a mistake on every line; the rest is in the log.
_REASONS_CHARS_MAX = 64 * 1024
_VERDICT_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` "": the configuration `hash` with so many routes is in use."""

    why: str
    hash: str
    routes: int


async def listen_for_reloads(run: Path, reload: Callable[[Ask], None], in_use: Callable[[], Snapshot]) -> None:
    """Serves until it is cancelled. The directory is private: whoever comes in is the operator."""

    waiting: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting.add(asyncio.current_task())
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        reload(Ask(told))
        gone = asyncio.ensure_future(reader.read(1))  # the command was ended: nobody waits any more
        futures: list[asyncio.Future[Any]] = [told, gone]
        try:
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if told.done():
                snapshot = in_use()
                verdict = Verdict(told.result()[:_REASONS_CHARS_MAX], snapshot.hash, len(snapshot.routes))
                writer.write(json.dumps(asdict(verdict)).encode())
                await writer.drain()
        except OSError:
            return
        finally:
            gone.cancel()
            writer.close()
            waiting.discard(asyncio.current_task())

    server = await asyncio.start_unix_server(serve, run / _NAME)
    try:
        await asyncio.Event().wait()
    finally:  # not `async with`: that waits for those who wait for a verdict
        server.close()
        for task in waiting:
            if task is not None:
                task.cancel()


def ask_for_reload(run: Path, timeout_s: float) -> Verdict:
    """Returns once the gateway has read its configuration. Raises OSError (nobody listens), TimeoutError."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout_s)
        sock.connect(str(run / _NAME))
        data = bytearray()
        while piece := sock.recv(64 * 1024):
            data += piece
            if len(data) > _VERDICT_BYTES_MAX:
                raise OSError("the gateway said too much")
    if not data:
        raise ConnectionResetError("the gateway stopped meanwhile")
    return Verdict(**json.loads(data))

"""A worker without a gateway, for what a real one never does: it fails, crashes, hangs or stays busy as the routes' names say.

Speaks sidecar.control.channel like the real one. On its sockets it tells whoever connects "pid slot hash" and hangs up. Names:
`fail`: Failed instead of Ready. `crash`: exits with 3 right after Ready. `busy`: a drain lasts until the file `release` stands in
run_dir, or for its grace. `mute`: does not answer LoadSnapshot. `spin`: its event loop turns no more once it is reloaded. `hold`:
its loop is held for two seconds then. `stuck`: a drain blocks the event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import os
import signal
import socket
import time
from pathlib import Path

from sidecar.control.channel import Channel, Configure, Drain, Failed, LoadSnapshot, Ready, Retire, SnapshotLoaded
from sidecar.control.snapshot_patch import Patch, patched
from sidecar.domain.snapshot import Snapshot
from sidecar.worker.heartbeat import beat

_POLL_S = 0.01
_HOLD_S = 2.0


def spin(until_s: float = float("inf")) -> None:
    """What an endless computation looks like."""
    while time.monotonic() < until_s:
        pass


def _hold_the_loop(snapshot: Snapshot) -> None:
    if "spin" in snapshot.routes:
        spin()
    if "hold" in snapshot.routes:
        spin(time.monotonic() + _HOLD_S)


async def _drain(run_dir: Path, grace_s: float, snapshot: Snapshot) -> None:
    if "stuck" in snapshot.routes:
        spin()
    if "busy" not in snapshot.routes:
        return
    end_s = asyncio.get_running_loop().time() + grace_s
    while not (run_dir / "release").exists() and asyncio.get_running_loop().time() < end_s:
        await asyncio.sleep(_POLL_S)


async def _serve(control: socket.socket) -> int:
    channel = await Channel.open(control)
    first = await channel.receive()
    assert isinstance(first, Configure)
    settings, snapshot = first.settings, first.snapshot
    if settings.stack_fd is not None:
        faulthandler.register(signal.SIGUSR1, file=settings.stack_fd)
    if "fail" in snapshot.routes:
        await channel.send(Failed("cannot do what the test forbids"))
        return 1

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{os.getpid()} {settings.slot} {snapshot.hash}".encode())
        writer.close()

    front = os.path.join(settings.run_dir, f"w{settings.slot}-{os.getpid()}.sock")
    grpc = os.path.join(settings.run_dir, f"s{settings.slot}-{os.getpid()}.sock")
    await asyncio.start_unix_server(tell, front)
    await asyncio.start_unix_server(tell, grpc)
    await channel.send(Ready(os.getpid(), front, grpc))
    assert settings.beat_s is not None
    beats = asyncio.create_task(beat(channel, settings.beat_s))
    if "crash" in snapshot.routes:
        os._exit(3)
    while True:
        match await channel.receive():
            case LoadSnapshot(fresh):
                snapshot = fresh
                if "mute" not in snapshot.routes:
                    await channel.send(SnapshotLoaded(fresh.hash))
                _hold_the_loop(snapshot)
            case Patch() as patch:
                snapshot = patched(snapshot, patch)
                if "mute" not in snapshot.routes:
                    await channel.send(SnapshotLoaded(snapshot.hash))
                _hold_the_loop(snapshot)
            case Retire():
                pass
            case Drain(grace_s):
                await _drain(Path(settings.run_dir), grace_s, snapshot)
                beats.cancel()
                return 0
            case _:
                return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--control-fd", type=int, required=True)
    os._exit(asyncio.run(_serve(socket.socket(fileno=parser.parse_args().control_fd))))

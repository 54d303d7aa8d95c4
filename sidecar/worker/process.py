"""A worker process. It follows the supervisor's instructions until it has to drain or the supervisor has ended.

    python -m sidecar.worker --control-fd N

The supervisor starts it and speaks sidecar.control.channel with it.
"""

from __future__ import annotations

import os

# Must precede the import of grpc. Without fork handlers a call costs 377 instead of 448 µs, and 6 instead of 17
# context switches.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import argparse
import asyncio
import faulthandler
import gc
import logging
import resource
import signal
import socket
from pathlib import Path

import uvloop

from sidecar.control.channel import (
    ChangeResult,
    Channel,
    Configure,
    Drain,
    Failed,
    LoadSnapshot,
    NotReady,
    Retire,
    SnapshotLoaded,
    StatusResult,
)
from sidecar.control.snapshot_patch import Patch
from sidecar.domain.large_work import prepare_process
from sidecar.telemetry.log_output import LogHandler, LogOutput
from sidecar.worker.failure_report import report_failures
from sidecar.worker.heartbeat import beat
from sidecar.worker.route_changes import Questions
from sidecar.worker.server import WorkerServer

log = logging.getLogger(__name__)

# Grace in seconds if the SIGTERM does not come from the supervisor.
_TERM_GRACE_S = 30.0
# Python's default is 700, which means a collection every few calls, each of which finds nothing.
GC_OBJECTS = 10_000
# How long handlers may clean up after the end of the grace has cancelled them.
_CANCEL_S = 2.0


async def _serve(control: socket.socket, output: LogOutput) -> int:
    channel = await Channel.open(control)
    first = await channel.receive()
    if not isinstance(first, Configure):
        return 1  # the supervisor is gone
    if first.settings.stack_fd is not None:
        faulthandler.register(signal.SIGUSR1, file=first.settings.stack_fd)
    if first.settings.log_path is not None:
        output.keep_to(Path(first.settings.log_path))
    questions = Questions(channel.send)
    try:
        worker = WorkerServer(first, questions, output.put)
        ready = await worker.start()
    except (RuntimeError, OSError) as error:
        await channel.send(Failed(str(error).splitlines()[0]))
        return 1
    # Objects that exist now are never collected, so exempt them from every collection. A call leaves no cycles;
    # those of failed calls may wait for a few hundred others.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS)
    await channel.send(ready)
    # Runs to the very end, so that a worker that hangs while draining is noticed as well.
    beats = None if first.settings.beat_s is None else asyncio.create_task(beat(channel, first.settings.beat_s))
    failures = asyncio.create_task(report_failures(channel, worker.gateway.upstreams.failures))
    leave: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _leave, leave, _TERM_GRACE_S)
    # Runs to the end of the process, so that a pending change is still confirmed while the worker drains.
    reader = asyncio.create_task(_obey(channel, worker, questions, leave))
    grace_s = await leave
    if grace_s is None:
        return 1
    try:
        async with asyncio.timeout(grace_s + _CANCEL_S):
            await worker.drain(grace_s)
    except TimeoutError:
        log.warning("some calls did not end when they were cancelled")
    reader.cancel()
    failures.cancel()
    if beats is not None:
        beats.cancel()
    return 0


async def _obey(
    channel: Channel, worker: WorkerServer, questions: Questions, leave: asyncio.Future[float | None]
) -> None:
    """Follows the supervisor's instructions until it is gone. Sets `leave` to the grace of the drain, or to None if
    the supervisor is gone."""
    try:
        while (message := await channel.receive()) is not None:
            match message:
                case LoadSnapshot(snapshot):
                    worker.gateway.snapshot = snapshot
                    await channel.send(SnapshotLoaded(snapshot.hash))
                case Patch():
                    worker.patch(message)
                    await channel.send(SnapshotLoaded(worker.gateway.snapshot.hash))
                case ChangeResult() | StatusResult():
                    questions.answered(message)
                case Retire():
                    worker.retire()
                case NotReady():
                    worker.not_ready()
                case Drain(grace_s):
                    _leave(leave, grace_s)
                case _:
                    return
    except ConnectionError:
        return
    finally:
        questions.lost()
        _leave(leave, None)


def _leave(leave: asyncio.Future[float | None], grace_s: float | None) -> None:
    if not leave.done():
        leave.set_result(grace_s)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sidecar.worker", description=__doc__)
    parser.add_argument("--control-fd", type=int, required=True, help="the supervisor's end of sidecar.control.channel")
    arguments = parser.parse_args()
    faulthandler.enable()  # a fatal signal (SIGSEGV, SIGBUS) prints a stack trace to standard error
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # many systems default to 1,024, which is enough for some 450 calls
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor handles Ctrl-C
    prepare_process()
    output = LogOutput()
    logging.basicConfig(level=logging.INFO, handlers=[LogHandler(output, "worker")])
    code = uvloop.run(_serve(socket.socket(fileno=arguments.control_fd), output))
    # Not sys.exit: grpc's threads may delay the interpreter's shutdown for seconds.
    logging.shutdown()
    os._exit(code)

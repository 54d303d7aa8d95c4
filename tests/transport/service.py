"""A service of raw bytes that does what interoperation cases need, on either transport.

python -m tests.transport.service native [UNIX_PATH]     says "port N", serves until SIGTERM, drains
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.transport import Aborted, Context, Limits, Listener, Methods, Server
from sidecar.transport.call import Call
from sidecar.transport.connection import Connection
from sidecar.transport.grpcio_server import GrpcioServer
from sidecar.transport.health import HealthServicer
from sidecar.transport.reflection import add_reflection

SERVICE = "test.Bytes"
SIZE_MAX = 300_000
TRANSPORTS = ("native", "grpcio")
ODD_TEXT = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈 % \t\n"
DETAILS = b"\x08\x03\x12\x03odd"  # a google.rpc.Status
TestServer = Server | GrpcioServer


class BytesServicer:
    """`live` and `cancelled` are what its tests ask about; `count` answers with them."""

    def __init__(self, health: HealthServicer) -> None:
        self.live = 0
        self.cancelled = 0
        self._health = health
        self._held = asyncio.Event()

    async def count(self, request: bytes, context: Context) -> bytes:
        gc.collect()
        rss_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        kept = sum(isinstance(each, (Call, Connection)) for each in gc.get_objects())
        cpu_s = sum(os.times()[:2])
        counts = {"live": self.live, "cancelled": self.cancelled, "tasks": tasks, "files": files, "kept": kept}
        return json.dumps({**counts, "rss_bytes": rss_bytes, "cpu_s": cpu_s}).encode()

    async def let_go(self, request: bytes, context: Context) -> bytes:
        self.let_all_go()
        return b""

    def let_all_go(self) -> None:
        """Whatever waits now."""
        self._held.set()
        self._held = asyncio.Event()

    async def set_health(self, request: bytes, context: Context) -> bytes:
        """`service=NAME_OF_STATUS`"""
        service, _, status = request.decode("latin-1").partition("=")
        self._health.set(service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
        return b""

    async def echo(self, request: bytes, context: Context) -> bytes:
        return request

    async def listener(self, request: bytes, context: Context) -> bytes:
        return context.listener.value.encode()

    async def stream(self, request: bytes, context: Context) -> None:
        """`count size`, both decimal: so many messages of that size; or whatever sizes follow a `:`."""
        sizes = _sizes(request.decode("latin-1"))
        async with self._counted():
            for size in sizes:
                await context.write(b"m" * size)

    async def turns(self, request: bytes, context: Context) -> None:
        """As `stream`, each message in a turn of the loop of its own."""
        async with self._counted():
            for size in _sizes(request.decode("latin-1")):
                await asyncio.sleep(0)
                await context.write(b"m" * size)

    async def wait(self, request: bytes, context: Context) -> bytes:
        async with self._counted():
            await self._held.wait()
        return b"waited"

    async def one_then_wait(self, request: bytes, context: Context) -> None:
        async with self._counted():
            await context.write(b"one")
            await self._held.wait()

    async def metadata(self, request: bytes, context: Context) -> bytes:
        """Gives `x-initial` and `x-trailing-bin` back where the interop cases want them; answers what it saw as JSON."""
        metadata = context.invocation_metadata()
        await context.send_initial_metadata([pair for pair in metadata if pair[0].startswith("x-initial")])
        context.set_trailing_metadata([pair for pair in metadata if pair[0].startswith("x-trailing")])
        seen = [(key, value.hex() if isinstance(value, bytes) else value) for key, value in metadata]
        return json.dumps(seen).encode()

    async def deadline(self, request: bytes, context: Context) -> bytes:
        return json.dumps(context.time_remaining()).encode()

    async def refuse(self, request: bytes, context: Context) -> bytes:
        context.set_trailing_metadata([("x-trailing", "lost")])
        await context.abort(
            grpc.StatusCode.FAILED_PRECONDITION, ODD_TEXT, [("grpc-status-details-bin", DETAILS), ("x-more", "kept")]
        )
        raise AssertionError("abort raises")

    async def refuse_in_words(self, request: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, ODD_TEXT)
        raise AssertionError("abort raises")

    async def refuse_late(self, request: bytes, context: Context) -> None:
        await context.write(b"one")
        await context.abort(3, "too late")

    async def bug(self, request: bytes, context: Context) -> bytes:
        raise ZeroDivisionError("secret words of a bug")

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self.live += 1
        try:
            yield
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.live -= 1


def _sizes(text: str) -> Iterable[int]:
    """Raises Aborted for what is none: a fuzzer asks for all sorts of things."""
    try:
        if text.startswith(":"):
            return [min(int(size), SIZE_MAX) for size in text[1:].split()]
        count, size = text.split()
        return itertools.repeat(min(int(size), SIZE_MAX), int(count))
    except (ValueError, OverflowError):
        raise Aborted(3, "Not a count and a size.") from None


def methods_of(servicer: BytesServicer, health: HealthServicer) -> Methods:
    """Those of the servicer under `/test.Bytes/`, health, reflection."""
    methods = Methods()
    unary: Any = grpc.unary_unary_rpc_method_handler
    stream: Any = grpc.unary_stream_rpc_method_handler
    kinds = {"stream": stream, "turns": stream, "one_then_wait": stream, "refuse_late": stream}
    names = (
        "count",
        "let_go",
        "set_health",
        "listener",
        "echo",
        "wait",
        "metadata",
        "deadline",
        "refuse",
        "refuse_in_words",
        "bug",
        *kinds,
    )
    handlers = {name: kinds.get(name, unary)(getattr(servicer, name), bytes, bytes) for name in names}
    methods.add_registered_method_handlers(SERVICE, handlers)
    health.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, methods)
    add_reflection(methods)
    return methods


class Serving:
    """async with Serving() as serving: serving.target, serving.servicer, serving.server"""

    def __init__(self, transport: str = "native", limits: Limits | None = None, unix: Path | None = None) -> None:
        self.health = HealthServicer()
        self.servicer = BytesServicer(self.health)
        methods = methods_of(self.servicer, self.health)
        self.server: Any = {"native": Server, "grpcio": GrpcioServer}[transport](methods, limits)
        self._unix = unix
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Serving:
        self.port = self.server.bind_tcp("127.0.0.1:0", Listener.LOCAL)
        if self._unix is not None:
            self.server.bind_unix(self._unix, Listener.FRONT)
        await self.server.start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.server.stop(0)


async def _serve(transport: str, unix: Path | None) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    serving = Serving(transport, Limits(age_s=None), unix)
    async with serving:
        print(f"port {serving.port}", flush=True)
        await stop.wait()
        await serving.server.stop(20)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], Path(sys.argv[2]) if len(sys.argv) > 2 else None))

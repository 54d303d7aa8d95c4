"""Serves the same methods with grpcio's server, for users who want the reference implementation on the local
listeners.

    sidecar up --grpc-server grpcio

It takes five to seven times the CPU of our own. docs/decisions/0016 lists the other differences. The front's socket
always uses our own server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Never

import grpc
import grpc.aio

from sidecar.domain.large_work import off_loop
from sidecar.transport.context import Listener
from sidecar.transport.grpcio_connections import send_unpaced, stop_accepting, taken
from sidecar.transport.limits import Limits
from sidecar.transport.metadata import Pair
from sidecar.transport.methods import Method, Methods
from sidecar.transport.status import Aborted, number

# On some paths, grpcio expresses "no deadline" as a very large number.
_NO_DEADLINE_S = 10 * 365 * 24 * 3600.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class GrpcioServer:
    """Has the interface of Server: bind, start, stop."""

    def __init__(self, methods: Methods, limits: Limits | None = None) -> None:
        self._server = grpc.aio.server(options=_options(limits or Limits()))
        self._paths: list[Path] = []
        self._stopping = False
        for service in methods.services:
            of_service = [method for method in methods if method.path.startswith(f"/{service}/")]
            handlers = {method.path.rpartition("/")[2]: self._handler(method) for method in of_service}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    def bind_unix(self, path: str | Path, listener: Listener) -> None:
        """Raises RuntimeError."""
        assert listener is Listener.LOCAL  # grpcio cannot tell which listener a call came in on
        # grpcio expects a URI and would decode it
        self._server.add_insecure_port("unix:" + str(path).replace("%", "%25"))
        self._paths.append(Path(path))

    def bind_tcp(self, address: str, listener: Listener) -> int:
        """Raises RuntimeError."""
        assert listener is Listener.LOCAL
        return self._server.add_insecure_port(address)

    async def start(self) -> None:
        send_unpaced()
        await self._server.start()
        for path in self._paths:
            path.chmod(0o600)

    def stop_accepting(self) -> None:
        stop_accepting()

    async def stop(self, grace_s: float, cuts: Callable[[], None] = lambda: None) -> None:
        """grpcio cancels what outlasts the grace; `cuts` is called just before."""
        self._stopping = True
        cutting = asyncio.get_running_loop().call_later(grace_s, cuts)
        await self._server.stop(grace_s)
        cutting.cancel()

    def _handler(self, method: Method) -> Any:
        """Adapts a method to grpcio, passing bytes in and out, so that malformed messages are answered as our own
        server answers them."""
        make: Any = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[method.takes_stream, method.gives_stream]

        async def serve(request: Any, context: Any) -> Any:
            size = 0 if method.takes_stream else len(request)
            call = GrpcioCall(context, method, size)
            try:
                message: Any = _messages(request, method)
                if not method.takes_stream:
                    message = await off_loop(size, method.read, request)
                answer = await _served(method, message, call)
            except Aborted as aborted:
                await context.abort(_CODES[aborted.code], aborted.message, tuple(aborted.trailing))
            if method.gives_stream:
                if self._stopping:
                    await taken(context.peer())
                return None
            return method.written(answer)

        return make(serve)


async def _served(method: Method, message: Any, call: GrpcioCall) -> Any:
    served = method.serve(message, call)
    if not hasattr(served, "__aiter__"):
        return await served
    async with aclosing(served):
        async for each in served:
            await call.write(each)
    return None


async def _messages(requests: AsyncIterator[bytes], method: Method) -> AsyncIterator[Any]:
    async for request in requests:
        yield method.read(request)


class GrpcioCall:
    """The Context of a servicer."""

    def __init__(self, context: Any, method: Method, request_bytes: int) -> None:
        self._context = context
        self._method = method
        self._request_bytes = request_bytes

    @property
    def request_bytes(self) -> int:
        return self._request_bytes

    @property
    def listener(self) -> Listener:
        return Listener.LOCAL

    def peer(self) -> str:
        peer: str = self._context.peer()
        return peer

    def invocation_metadata(self) -> Sequence[Pair]:
        return tuple(self._context.invocation_metadata() or ())

    def time_remaining(self) -> float | None:
        remaining: float | None = self._context.time_remaining()
        return None if remaining is None or remaining > _NO_DEADLINE_S else remaining

    @property
    def deadline(self) -> float | None:
        remaining = self.time_remaining()
        return None if remaining is None else asyncio.get_running_loop().time() + remaining

    async def send_initial_metadata(self, metadata: Sequence[Pair]) -> None:
        await self._context.send_initial_metadata(tuple(metadata))

    def set_trailing_metadata(self, metadata: Sequence[Pair]) -> None:
        self._context.set_trailing_metadata(tuple(metadata))

    def trailing_metadata(self) -> Sequence[Pair]:
        return self._context.trailing_metadata() or ()

    async def write(self, *messages: Any) -> None:
        for message in messages:
            await self._context.write(self._method.written(message))

    def begin_write(self, *messages: Any) -> Awaitable[None] | None:
        return self.write(*messages)

    def begin_answer(self, metadata: Sequence[Pair], *messages: Any) -> Awaitable[None] | None:
        return self._answer(metadata, messages)

    async def _answer(self, metadata: Sequence[Pair], messages: Sequence[Any]) -> None:
        await self.send_initial_metadata(metadata)
        await self.write(*messages)

    async def abort(self, code: Any, message: str = "", trailing_metadata: Sequence[Pair] = ()) -> Never:
        raise Aborted(number(code), message, trailing_metadata)


def _options(limits: Limits) -> list[tuple[str, int]]:
    """The limits of our own server, as far as grpcio can enforce them."""
    options = [
        ("grpc.max_receive_message_length", limits.message_bytes),
        ("grpc.max_send_message_length", limits.message_bytes),
        # grpcio rejects at random between its soft and its hard limit.
        ("grpc.max_metadata_size", limits.metadata_bytes),
        ("grpc.absolute_max_metadata_size", 2 * limits.metadata_bytes),
        ("grpc.max_concurrent_streams", limits.streams),
        ("grpc.so_reuseport", 1),
        # Clients may ping idle connections every 10 s; grpcio's default of 5 minutes treats that as abuse.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    if limits.age_s is not None:
        options.append(("grpc.max_connection_age_ms", int(limits.age_s * 1000)))
    return options

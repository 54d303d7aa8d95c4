"""gRPC, sync and async. A channel lives on one worker of the gateway, so a client has several and uses them in turn.

When the gateway lets a connection go (a restart, an age limit), gRPC opens the next one by itself: calls under way finish, and
those that were not begun go to the new one.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from adapters import GatewayError
from llm_gateway_client.grpc_codec import chunks_of, failure, refused, rpc_of
from llm_gateway_client.requests import Call
from llm_gateway_client.targets import Target
from llm_gateway_client.values import Json

# As the gateway's own limit of a message; gRPC's is 4 MiB, which 1,000 embeddings exceed.
_MESSAGE_BYTES_MAX = 64 * 1024 * 1024
_OPTIONS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.use_local_subchannel_pool", 1),  # or all channels to one address would be one connection
    # gRPC repeats by itself what the server has certainly not seen (a connection that was just let go); retries by a policy,
    # which DNS could bring, would repeat what cost money: retries.py alone decides on those.
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.primary_user_agent", "sidecar-client/1"),
)


class _Pool:
    """Channels, opened when first used, and their stubs."""

    def __init__(self, target: Target, channels: int, open_: Callable[[], Any]) -> None:
        self._open = open_
        self._channels: list[Any] = [None] * channels
        self._stubs: dict[tuple[int, Any], Any] = {}
        self._lock = threading.Lock()
        self._turn = itertools.count()
        self.metadata = () if target.authorization is None else (("authorization", target.authorization),)

    def multicallable(self, call: Call) -> Any:
        rpc, name = rpc_of(call)
        at = next(self._turn) % len(self._channels)
        with self._lock:  # threads may share a client
            stub = self._stubs.get((at, rpc.service))
            if stub is None:
                if self._channels[at] is None:
                    self._channels[at] = self._open()
                stub = self._stubs[at, rpc.service] = rpc.service(self._channels[at])
        return getattr(stub, name)

    def opened(self) -> list[Any]:
        """What is to be closed; a later call opens anew."""
        with self._lock:
            channels = [channel for channel in self._channels if channel is not None]
            self._channels = [None] * len(self._channels)
            self._stubs.clear()
        return channels


def _credentials(target: Target) -> grpc.ChannelCredentials | None:
    if not target.tls:
        return None
    return grpc.ssl_channel_credentials(Path(target.ca).read_bytes() if target.ca is not None else None)


def _message(call: Call, request_id: str) -> Any:
    rpc, _ = rpc_of(call)
    try:
        return rpc.encode(call.body)
    except GatewayError as error:
        raise refused(error, request_id) from None


class GrpcTransport:
    """Sync."""

    def __init__(self, target: Target, channels: int) -> None:
        credentials = _credentials(target)

        def open_() -> grpc.Channel:
            if credentials is None:
                return grpc.insecure_channel(target.address, _OPTIONS)
            return grpc.secure_channel(target.address, credentials, _OPTIONS)

        self._pool = _Pool(target, channels, open_)

    def unary(self, call: Call, request_id: str, left_s: float) -> Json:
        message, rpc = _message(call, request_id), rpc_of(call)[0]
        try:
            answer = self._pool.multicallable(call)(message, timeout=left_s, metadata=self._metadata(request_id))
        except grpc.RpcError as error:
            raise failure(error, request_id, False) from None
        return rpc.decode(answer)

    def stream(self, call: Call, request_id: str, left_s: float) -> Generator[Json, None, None]:
        message, begun = _message(call, request_id), False
        answers = self._pool.multicallable(call)(message, timeout=left_s, metadata=self._metadata(request_id))
        try:
            for answer in answers:
                for chunk in chunks_of(call, answer):
                    begun = True
                    yield chunk
        except grpc.RpcError as error:
            raise failure(error, request_id, begun) from None
        finally:
            answers.cancel()

    def _metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        return (*self._pool.metadata, ("x-request-id", request_id))

    def close(self) -> None:
        for channel in self._pool.opened():
            channel.close()


class AsyncGrpcTransport:
    """Async. Channels belong to the loop of the first call."""

    def __init__(self, target: Target, channels: int) -> None:
        credentials = _credentials(target)

        def open_() -> grpc.aio.Channel:
            if credentials is None:
                return grpc.aio.insecure_channel(target.address, _OPTIONS)
            return grpc.aio.secure_channel(target.address, credentials, _OPTIONS)

        self._pool = _Pool(target, channels, open_)

    async def unary(self, call: Call, request_id: str, left_s: float) -> Json:
        message, rpc = _message(call, request_id), rpc_of(call)[0]
        try:
            answer = await self._pool.multicallable(call)(message, timeout=left_s, metadata=self._metadata(request_id))
        except grpc.RpcError as error:
            raise failure(error, request_id, False) from None
        return rpc.decode(answer)

    async def stream(self, call: Call, request_id: str, left_s: float) -> AsyncGenerator[Json, None]:
        message, begun = _message(call, request_id), False
        answers = self._pool.multicallable(call)(message, timeout=left_s, metadata=self._metadata(request_id))
        try:
            async for answer in answers:
                for chunk in chunks_of(call, answer):
                    begun = True
                    yield chunk
        except grpc.RpcError as error:
            raise failure(error, request_id, begun) from None
        finally:
            answers.cancel()

    def _metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        return (*self._pool.metadata, ("x-request-id", request_id))

    async def aclose(self) -> None:
        for channel in self._pool.opened():
            await channel.close()

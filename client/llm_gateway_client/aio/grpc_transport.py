"""Calls over gRPC. Channels are in grpc_pool.py, messages in grpc_codec.py."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeVar, cast

import grpc
import grpc.aio

from llm_gateway_client.grpc_codec import rpc_of
from llm_gateway_client.grpc_failure import failure
from llm_gateway_client.grpc_pool import OPTIONS, Pool, credentials_of, message_of
from llm_gateway_client.requests import Call
from llm_gateway_client.targets import Target

T = TypeVar("T")


class AsyncGrpcTransport:
    """Channels belong to the event loop of the first call."""

    def __init__(self, target: Target, channels: int) -> None:
        credentials = credentials_of(target)

        def open_() -> grpc.aio.Channel:
            if credentials is None:
                return grpc.aio.insecure_channel(target.address, OPTIONS)
            return grpc.aio.secure_channel(target.address, credentials, OPTIONS)

        self._pool = Pool(target, channels, open_)

    async def unary(self, call: Call[T], request_id: str, left_s: float) -> T:
        rpc = rpc_of(call)
        message, metadata = message_of(rpc, call, request_id), self._pool.metadata(request_id)
        try:
            answer = await self._pool.method(rpc)(message, timeout=left_s, metadata=metadata)
        except grpc.RpcError as error:
            raise failure(error, request_id, False) from None
        return cast(T, rpc.values_of(answer))

    async def stream(self, call: Call[T], request_id: str, left_s: float) -> AsyncGenerator[T, None]:
        rpc, begun = rpc_of(call), False
        message, metadata = message_of(rpc, call, request_id), self._pool.metadata(request_id)
        answers = self._pool.method(rpc)(message, timeout=left_s, metadata=metadata)
        try:
            async for answer in answers:
                for chunk in rpc.values_of(answer):
                    begun = True
                    yield chunk
        except grpc.RpcError as error:
            raise failure(error, request_id, begun) from None
        finally:
            answers.cancel()

    async def aclose(self) -> None:
        for channel in self._pool.opened():
            await channel.close()

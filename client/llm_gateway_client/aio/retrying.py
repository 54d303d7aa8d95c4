"""Makes one call with its retries, and closes the source of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from llm_gateway_client.errors import SidecarError
from llm_gateway_client.requests import Call
from llm_gateway_client.retry_policy import Attempts, Retries

T = TypeVar("T")


class AsyncTransport(Protocol):
    """`left_s` applies to the whole attempt. Only raises SidecarError."""

    async def unary(self, call: Call[T], request_id: str, left_s: float) -> T: ...
    def stream(self, call: Call[T], request_id: str, left_s: float) -> AsyncGenerator[T, None]: ...
    async def aclose(self) -> None: ...


async def unary(transport: AsyncTransport, call: Call[T], retries: Retries, timeout_s: float) -> T:
    attempts = Attempts(call, retries, timeout_s)
    while True:
        try:
            return await transport.unary(call, attempts.request_id, attempts.begin())
        except SidecarError as error:
            await asyncio.sleep(attempts.wait_s(error))


async def chunks(
    transport: AsyncTransport, call: Call[T], retries: Retries, timeout_s: float
) -> AsyncGenerator[T, None]:
    """A stream is never retried once it has started."""
    attempts, begun = Attempts(call, retries, timeout_s), False
    while True:
        try:
            async with aclosing(transport.stream(call, attempts.request_id, attempts.begin())) as stream:
                async for chunk in stream:
                    begun = True
                    yield chunk
            return
        except SidecarError as error:
            if begun:
                raise
            await asyncio.sleep(attempts.wait_s(error))


class AsyncStream(Generic[T]):
    """An async iterator of chunks. Closing it, or leaving its `async with` block, cancels the call."""

    def __init__(self, source: AsyncGenerator[T, None]) -> None:
        self._source = source

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return await anext(self._source)

    async def aclose(self) -> None:
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

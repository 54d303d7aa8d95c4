"""One call with its retries, and streams that close what they stand on. Sync and async, over either transport."""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from llm_gateway_client.errors import SidecarError
from llm_gateway_client.requests import Call
from llm_gateway_client.retry_policy import Retries
from llm_gateway_client.values import Json

T = TypeVar("T")
_ID_BYTES = 16


class Transport(Protocol):
    """`left_s` is for the whole call. Raises SidecarError only."""

    def unary(self, call: Call, request_id: str, left_s: float) -> Json: ...
    def stream(self, call: Call, request_id: str, left_s: float) -> Generator[Json, None, None]: ...
    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """The same, async."""

    async def unary(self, call: Call, request_id: str, left_s: float) -> Json: ...
    def stream(self, call: Call, request_id: str, left_s: float) -> AsyncGenerator[Json, None]: ...
    async def aclose(self) -> None: ...


class _Tries:
    """The tries of one call: its id, the time left, whether and when to try again."""

    def __init__(self, call: Call, retries: Retries, timeout_s: float) -> None:
        if not (timeout_s > 0 and math.isfinite(timeout_s)):
            raise ValueError("timeout_s is a number of seconds above 0")
        self.request_id = secrets.token_hex(_ID_BYTES)
        self._repeatable = call.repeatable
        self._retries = retries
        self._attempt = 0
        self._end_s = time.monotonic() + timeout_s

    def begin(self) -> float:
        """The seconds left for the next try."""
        self._attempt += 1
        return max(0.001, self._end_s - time.monotonic())

    def wait_s(self, error: SidecarError) -> float:
        """Before the next try. Raises the error where there is none."""
        wait_s = self._retries.wait_s(error, self._attempt, self._end_s - time.monotonic(), self._repeatable)
        if wait_s is None:
            raise error
        return wait_s


def unary(transport: Transport, call: Call, retries: Retries, timeout_s: float) -> Json:
    tries = _Tries(call, retries, timeout_s)
    while True:
        try:
            return transport.unary(call, tries.request_id, tries.begin())
        except SidecarError as error:
            time.sleep(tries.wait_s(error))


async def unary_async(transport: AsyncTransport, call: Call, retries: Retries, timeout_s: float) -> Json:
    tries = _Tries(call, retries, timeout_s)
    while True:
        try:
            return await transport.unary(call, tries.request_id, tries.begin())
        except SidecarError as error:
            await asyncio.sleep(tries.wait_s(error))


def chunks(transport: Transport, call: Call, retries: Retries, timeout_s: float) -> Generator[Json, None, None]:
    tries, begun = _Tries(call, retries, timeout_s), False
    while True:
        try:
            with closing(transport.stream(call, tries.request_id, tries.begin())) as stream:
                for chunk in stream:
                    begun = True
                    yield chunk
            return
        except SidecarError as error:
            if begun:
                raise
            time.sleep(tries.wait_s(error))


async def chunks_async(
    transport: AsyncTransport, call: Call, retries: Retries, timeout_s: float
) -> AsyncGenerator[Json, None]:
    tries, begun = _Tries(call, retries, timeout_s), False
    while True:
        try:
            async with aclosing(transport.stream(call, tries.request_id, tries.begin())) as stream:
                async for chunk in stream:
                    begun = True
                    yield chunk
            return
        except SidecarError as error:
            if begun:
                raise
            await asyncio.sleep(tries.wait_s(error))


class Stream(Generic[T]):
    """An iterator of chunks. Closing it, or leaving its `with` block, cancels the call; so does letting go of it."""

    def __init__(self, source: Generator[Json, None, None], read: Callable[[Json], T]) -> None:
        self._source = source
        self._read = read

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self._read(next(self._source))

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream(Generic[T]):
    """An async iterator of chunks. Closing it, or leaving its `async with` block, cancels the call."""

    def __init__(self, source: AsyncGenerator[Json, None], read: Callable[[Json], T]) -> None:
        self._source = source
        self._read = read

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        return self._read(await anext(self._source))

    async def aclose(self) -> None:
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

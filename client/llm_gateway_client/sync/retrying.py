# Generated from aio/retrying.py by tools/sync_client.py.
"""Makes one call with its retries, and closes the source of a stream."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from llm_gateway_client.errors import SidecarError
from llm_gateway_client.requests import Call
from llm_gateway_client.retry_policy import Attempts, Retries

T = TypeVar("T")


class Transport(Protocol):
    """`left_s` applies to the whole attempt. Only raises SidecarError."""

    def unary(self, call: Call[T], request_id: str, left_s: float) -> T: ...
    def stream(self, call: Call[T], request_id: str, left_s: float) -> Generator[T, None, None]: ...
    def close(self) -> None: ...


def unary(transport: Transport, call: Call[T], retries: Retries, timeout_s: float) -> T:
    attempts = Attempts(call, retries, timeout_s)
    while True:
        try:
            return transport.unary(call, attempts.request_id, attempts.begin())
        except SidecarError as error:
            time.sleep(attempts.wait_s(error))


def chunks(transport: Transport, call: Call[T], retries: Retries, timeout_s: float) -> Generator[T, None, None]:
    """A stream is never retried once it has started."""
    attempts, begun = Attempts(call, retries, timeout_s), False
    while True:
        try:
            with closing(transport.stream(call, attempts.request_id, attempts.begin())) as stream:
                for chunk in stream:
                    begun = True
                    yield chunk
            return
        except SidecarError as error:
            if begun:
                raise
            time.sleep(attempts.wait_s(error))


class Stream(Generic[T]):
    """An iterator of chunks. Closing it, or leaving its `with` block, cancels the call; so does dropping it."""

    def __init__(self, source: Generator[T, None, None]) -> None:
        self._source = source

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return next(self._source)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Calls over REST, with httpx alone. Paths and values are in rest_codec.py."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import httpx

from llm_gateway_client.requests import Call
from llm_gateway_client.rest_codec import answer_of
from llm_gateway_client.rest_http import Body, Chunks, arguments_of, check, settings_of, translated, with_headers
from llm_gateway_client.targets import Target
from llm_gateway_client.timing import async_within

T = TypeVar("T")


class AsyncRestTransport:
    """One connection pool."""

    def __init__(self, target: Target, http2: bool) -> None:
        self._http = httpx.AsyncClient(**settings_of(target, http2))

    async def unary(self, call: Call[T], request_id: str, left_s: float) -> T:
        end_s = time.monotonic() + left_s
        with translated(request_id, []):
            async with self._opened(call, request_id, end_s) as response:
                body = await _body(response, end_s)
        check(response, body, request_id)
        return with_headers(answer_of(call, body), response)

    async def stream(self, call: Call[T], request_id: str, left_s: float) -> AsyncGenerator[T, None]:
        end_s, begun = time.monotonic() + left_s, list[bool]()
        with translated(request_id, begun):
            async with self._opened(call, request_id, end_s) as response:
                if not response.is_success:
                    check(response, await _body(response, end_s), request_id)
                chunks = Chunks(response, call, request_id)
                async with aclosing(_pieces(response, end_s)) as pieces:
                    async for piece in pieces:
                        for chunk in chunks.feed(piece):
                            begun.append(True)
                            yield chunk
                chunks.close()

    @asynccontextmanager
    async def _opened(self, call: Call[Any], request_id: str, end_s: float) -> AsyncGenerator[httpx.Response, None]:
        """Returns the response with its body unread."""
        left_s = max(0.001, end_s - time.monotonic())
        request = self._http.build_request(**arguments_of(call, request_id, left_s))
        response: httpx.Response | None = None
        try:
            async with async_within(end_s):
                response = await self._http.send(request, stream=True)
            yield response
        finally:
            if response is not None:
                await response.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()


async def _body(response: httpx.Response, end_s: float) -> bytes:
    body = Body()
    async with aclosing(_pieces(response, end_s)) as pieces:
        async for piece in pieces:
            body.add(piece)
    return bytes(body.data)


async def _pieces(response: httpx.Response, end_s: float) -> AsyncGenerator[bytes, None]:
    """Yields the pieces of the body, each within the time left. The timeout is not running while the caller handles
    a piece."""
    pieces: Any = response.aiter_bytes()
    async with aclosing(pieces):
        while True:
            async with async_within(end_s):
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
            yield piece

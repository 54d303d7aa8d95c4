# Generated from aio/rest_transport.py by tools/sync_client.py.
"""Calls over REST, with httpx alone. Paths and values are in rest_codec.py."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import httpx

from llm_gateway_client.requests import Call
from llm_gateway_client.rest_codec import answer_of
from llm_gateway_client.rest_http import Body, Chunks, arguments_of, check, settings_of, translated, with_headers
from llm_gateway_client.targets import Target
from llm_gateway_client.timing import within

T = TypeVar("T")


class RestTransport:
    """One connection pool."""

    def __init__(self, target: Target, http2: bool) -> None:
        self._http = httpx.Client(**settings_of(target, http2))

    def unary(self, call: Call[T], request_id: str, left_s: float) -> T:
        end_s = time.monotonic() + left_s
        with translated(request_id, []):
            with self._opened(call, request_id, end_s) as response:
                body = _body(response, end_s)
        check(response, body, request_id)
        return with_headers(answer_of(call, body), response)

    def stream(self, call: Call[T], request_id: str, left_s: float) -> Generator[T, None, None]:
        end_s, begun = time.monotonic() + left_s, list[bool]()
        with translated(request_id, begun):
            with self._opened(call, request_id, end_s) as response:
                if not response.is_success:
                    check(response, _body(response, end_s), request_id)
                chunks = Chunks(response, call, request_id)
                with closing(_pieces(response, end_s)) as pieces:
                    for piece in pieces:
                        for chunk in chunks.feed(piece):
                            begun.append(True)
                            yield chunk
                chunks.close()

    @contextmanager
    def _opened(self, call: Call[Any], request_id: str, end_s: float) -> Generator[httpx.Response, None, None]:
        """Returns the response with its body unread."""
        left_s = max(0.001, end_s - time.monotonic())
        request = self._http.build_request(**arguments_of(call, request_id, left_s))
        response: httpx.Response | None = None
        try:
            with within(end_s):
                response = self._http.send(request, stream=True)
            yield response
        finally:
            if response is not None:
                response.close()

    def close(self) -> None:
        self._http.close()


def _body(response: httpx.Response, end_s: float) -> bytes:
    body = Body()
    with closing(_pieces(response, end_s)) as pieces:
        for piece in pieces:
            body.add(piece)
    return bytes(body.data)


def _pieces(response: httpx.Response, end_s: float) -> Generator[bytes, None, None]:
    """Yields the pieces of the body, each within the time left. The timeout is not running while the caller handles
    a piece."""
    pieces: Any = response.iter_bytes()
    with closing(pieces):
        while True:
            with within(end_s):
                try:
                    piece = next(pieces)
                except StopIteration:
                    return
            yield piece

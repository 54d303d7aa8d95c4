"""REST by httpx, sync and async. Imports neither grpc nor protobuf."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import httpx

from llm_gateway_client.errors import BadAnswer, Interrupted, TargetError, TimedOut, Unreachable
from llm_gateway_client.requests import Call
from llm_gateway_client.rest_codec import answer_of, failure, failure_in_stream, object_of, request_of
from llm_gateway_client.sse import Events
from llm_gateway_client.targets import Target
from llm_gateway_client.values import Json

# As the gateway's own limit of an answer.
ANSWER_BYTES_MAX = 64 * 1024 * 1024
# Below the 75 s of the front: this side closes first, so that no call meets a connection that is just being closed.
_KEEPALIVE_S = 30.0
_CONNECTIONS_MAX = 100
_CONNECT_S_MAX = 10.0
_USER_AGENT = "sidecar-client/1"
_DONE = b"[DONE]"


class _Shared:
    """What both share: how a client of httpx is set up, and what its exceptions mean."""

    def __init__(self, target: Target, http2: bool) -> None:
        headers = {"user-agent": _USER_AGENT}
        if target.authorization is not None:
            headers["authorization"] = target.authorization
        self._settings: dict[str, Any] = {
            "base_url": target.address,
            "headers": headers,
            "http2": http2,
            "verify": target.trust() if target.tls else False,
            "trust_env": not target.loopback,  # a proxy does not know this machine's own addresses
            "limits": httpx.Limits(max_connections=_CONNECTIONS_MAX, keepalive_expiry=_KEEPALIVE_S),
        }


def _arguments(call: Call, request_id: str, left_s: float) -> dict[str, Any]:
    request = request_of(call)
    headers = {"x-request-id": request_id, "accept": "text/event-stream" if call.stream else "application/json"}
    if request.body is not None:
        headers["content-type"] = "application/json"
    timeout = httpx.Timeout(left_s, connect=min(left_s, _CONNECT_S_MAX))
    return {
        "method": request.method,
        "url": request.path,
        "content": request.content,
        "headers": headers,
        "timeout": timeout,
    }


@contextmanager
def _translated(request_id: str, begun: list[bool]) -> Iterator[None]:
    """httpx's exceptions as ours. `begun` is not empty once the answer has."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Unreachable(
            f"No connection to the gateway: {error}", kind="unreachable", request_id=request_id, may_retry=True
        ) from None
    except (httpx.TimeoutException, TimeoutError):
        raise _timed_out(request_id) from None
    except httpx.UnsupportedProtocol as error:
        raise TargetError(str(error)) from None
    except httpx.HTTPError as error:
        if begun:
            raise Interrupted(
                f"The answer broke off: {error}", kind="upstream_interrupted", request_id=request_id
            ) from None
        raise Unreachable(f"The connection broke: {error}", kind="unreachable", request_id=request_id) from None


def _timed_out(request_id: str) -> TimedOut:
    return TimedOut("The call's time is up.", kind="deadline_exceeded", request_id=request_id)


class _Body:
    """Collects a body up to the limit."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, piece: bytes) -> None:
        self.data += piece
        if len(self.data) > ANSWER_BYTES_MAX:
            raise BadAnswer("The answer is larger than 64 MiB.", kind="malformed_answer")


def _check(response: httpx.Response, body: bytes, request_id: str) -> None:
    if not response.is_success:
        raise failure(response.status_code, response.headers, body, request_id)


class _Stream:
    """Events of one streamed answer -> chunks. `done` once the end marker came."""

    def __init__(self, response: httpx.Response, request_id: str) -> None:
        self.done = False
        self._events = Events()
        self._id = request_id
        if "text/event-stream" not in response.headers.get("content-type", ""):
            raise BadAnswer("The answer is no stream.", kind="malformed_answer", request_id=request_id)

    def feed(self, piece: bytes) -> list[Json]:
        """Raises the failure that an event tells. What follows the end marker is read, so that the connection can be used
        again, and ignored."""
        chunks: list[Json] = []
        if self.done:
            return chunks
        for data in self._events.feed(piece):
            if data == _DONE:
                self.done = True
                break
            chunk = object_of(data)
            if chunk.get("error"):
                raise failure_in_stream(chunk, self._id)
            chunks.append(chunk)
        return chunks

    def close(self) -> None:
        """The end of the body."""
        if not self.done:
            raise Interrupted(
                "The answer broke off before its end marker.", kind="upstream_interrupted", request_id=self._id
            )


class RestTransport(_Shared):
    """Sync."""

    def __init__(self, target: Target, http2: bool) -> None:
        super().__init__(target, http2)
        self._http = httpx.Client(**self._settings)

    def unary(self, call: Call, request_id: str, left_s: float) -> Json:
        begun: list[bool] = []
        end_s = time.monotonic() + left_s
        with (
            _translated(request_id, begun),
            self._http.stream(**_arguments(call, request_id, left_s)) as response,
        ):
            body = self._body(response, end_s, request_id)
        _check(response, body, request_id)
        return answer_of(call, body)

    def stream(self, call: Call, request_id: str, left_s: float) -> Generator[Json, None, None]:
        begun: list[bool] = []
        end_s = time.monotonic() + left_s
        with (
            _translated(request_id, begun),
            self._http.stream(**_arguments(call, request_id, left_s)) as response,
        ):
            if not response.is_success:
                _check(response, self._body(response, end_s, request_id), request_id)
            stream = _Stream(response, request_id)
            for piece in response.iter_bytes():
                for chunk in stream.feed(piece):
                    begun.append(True)
                    yield chunk
                if time.monotonic() > end_s:
                    raise _timed_out(request_id)
            stream.close()

    def _body(self, response: httpx.Response, end_s: float, request_id: str) -> bytes:
        body = _Body()
        for piece in response.iter_bytes():
            body.add(piece)
            if time.monotonic() > end_s:
                raise _timed_out(request_id)
        return bytes(body.data)

    def close(self) -> None:
        self._http.close()


class AsyncRestTransport(_Shared):
    """Async."""

    def __init__(self, target: Target, http2: bool) -> None:
        super().__init__(target, http2)
        self._http = httpx.AsyncClient(**self._settings)

    async def unary(self, call: Call, request_id: str, left_s: float) -> Json:
        with _translated(request_id, []):
            async with asyncio.timeout(left_s), self._http.stream(**_arguments(call, request_id, left_s)) as response:
                body = await self._body(response)
        _check(response, body, request_id)
        return answer_of(call, body)

    async def stream(self, call: Call, request_id: str, left_s: float) -> AsyncGenerator[Json, None]:
        begun: list[bool] = []
        end_s = time.monotonic() + left_s
        with _translated(request_id, begun):
            async with self._opened(call, request_id, left_s) as response:
                if not response.is_success:
                    _check(response, await self._body(response), request_id)
                stream = _Stream(response, request_id)
                async with aclosing(_pieces(response, end_s)) as pieces:
                    async for piece in pieces:
                        for chunk in stream.feed(piece):
                            begun.append(True)
                            yield chunk
                stream.close()

    @asynccontextmanager
    async def _opened(self, call: Call, request_id: str, left_s: float) -> AsyncGenerator[httpx.Response, None]:
        request = self._http.build_request(**_arguments(call, request_id, left_s))
        async with asyncio.timeout(left_s):
            response = await self._http.send(request, stream=True)
        try:
            yield response
        finally:
            await response.aclose()

    async def _body(self, response: httpx.Response) -> bytes:
        body = _Body()
        async for piece in response.aiter_bytes():
            body.add(piece)
        return bytes(body.data)

    async def aclose(self) -> None:
        await self._http.aclose()


async def _pieces(response: httpx.Response, end_s: float) -> AsyncGenerator[bytes, None]:
    """The body's pieces, each within the time left. No timeout is open while the caller has a piece."""
    pieces = response.aiter_bytes()
    async with aclosing(pieces):  # type: ignore[type-var]
        while True:
            async with asyncio.timeout(max(0.0, end_s - time.monotonic()) if math.isfinite(end_s) else None):
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
            yield piece

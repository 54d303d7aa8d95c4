"""REST: how httpx clients are set up, what their exceptions mean, and the pieces of a body. For both transports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Generic, TypeVar

import httpx

from llm_gateway_client.errors import BadAnswer, Interrupted, TargetError, TimedOut, Unreachable
from llm_gateway_client.requests import Call
from llm_gateway_client.rest_codec import chunk_of, object_of, request_of
from llm_gateway_client.rest_failure import etag_of, failure, failure_in_stream
from llm_gateway_client.sse import Events
from llm_gateway_client.targets import Target
from llm_gateway_client.values import ChatChunk, ChatResponse, Limits, Route

T = TypeVar("T")
# The gateway's own limit for an answer.
ANSWER_BYTES_MAX = 64 * 1024 * 1024
# Below the front's 75 s: this side closes first, so that no call meets a connection that is being closed.
_KEEPALIVE_S = 30.0
_CONNECTIONS_MAX = 100
_CONNECT_S_MAX = 10.0
_USER_AGENT = "llm-gateway-client/1"
_DONE = b"[DONE]"


def settings_of(target: Target, http2: bool) -> dict[str, Any]:
    """Keyword arguments of httpx.Client and httpx.AsyncClient."""
    headers = {"user-agent": _USER_AGENT}
    if target.authorization is not None:
        headers["authorization"] = target.authorization
    return {
        "base_url": target.address,
        "headers": headers,
        "http2": http2,
        "verify": target.trust() if target.tls else False,
        "trust_env": not target.loopback,  # a proxy does not know this machine's own addresses
        "limits": httpx.Limits(max_connections=_CONNECTIONS_MAX, keepalive_expiry=_KEEPALIVE_S),
    }


def arguments_of(call: Call[Any], request_id: str, left_s: float) -> dict[str, Any]:
    """Keyword arguments of httpx's build_request."""
    request = request_of(call)
    headers = {"x-request-id": request_id, "accept": "text/event-stream" if call.stream else "application/json"}
    if request.body is not None:
        headers["content-type"] = "application/json"
    if request.etag:
        headers["if-match"] = f'"{request.etag}"'
    timeout = httpx.Timeout(left_s, connect=min(left_s, _CONNECT_S_MAX))
    return {
        "method": request.method,
        "url": request.path,
        "content": request.content,
        "headers": headers,
        "timeout": timeout,
    }


@contextmanager
def translated(request_id: str, begun: list[bool]) -> Iterator[None]:
    """Translates httpx's exceptions to ours. `begun` is not empty once the answer has started."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Unreachable(
            f"No connection to the gateway: {error}", kind="unreachable", request_id=request_id, may_retry=True
        ) from None
    except (httpx.TimeoutException, TimeoutError):
        raise TimedOut("The call's time is up.", kind="deadline_exceeded", request_id=request_id) from None
    except httpx.UnsupportedProtocol as error:
        raise TargetError(str(error)) from None
    except httpx.HTTPError as error:
        if begun:
            raise Interrupted(
                f"The answer broke off: {error}", kind="upstream_interrupted", request_id=request_id
            ) from None
        raise Unreachable(f"The connection broke: {error}", kind="unreachable", request_id=request_id) from None


class Body:
    """Collects a body up to the limit. Raises BadAnswer above it."""

    def __init__(self) -> None:
        self.data = bytearray()

    def add(self, piece: bytes) -> None:
        self.data += piece
        if len(self.data) > ANSWER_BYTES_MAX:
            raise BadAnswer("The answer is larger than 64 MiB.", kind="malformed_answer")


def check(response: httpx.Response, body: bytes, request_id: str) -> None:
    """Raises the failure if the response is one."""
    if not response.is_success:
        raise failure(response.status_code, response.headers, body, request_id)


def with_headers(value: T, response: httpx.Response) -> T:
    """The value with what formats have no member for: what was left out of the request, and the version of what was managed."""
    if isinstance(value, ChatResponse | ChatChunk):
        header: str = response.headers.get("x-sidecar-left-out", "")
        return replace(value, left_out=tuple(header.split(", "))) if header else value
    if isinstance(value, Route):
        return replace(value, etag=etag_of(response.headers))
    if isinstance(value, Limits):
        value.etag = etag_of(response.headers)
    return value


class Chunks(Generic[T]):
    """The events of one streamed answer as chunks. `done` is set once the end marker has arrived."""

    def __init__(self, response: httpx.Response, call: Call[T], request_id: str) -> None:
        self.done = False
        self._events = Events()
        self._call = call
        self._id = request_id
        self._response = response
        self._begun = False
        if "text/event-stream" not in response.headers.get("content-type", ""):
            raise BadAnswer("The answer is no stream.", kind="malformed_answer", request_id=request_id)

    def feed(self, piece: bytes) -> list[T]:
        """Raises the failure that an event reports. What follows the end marker is read and ignored, so that the
        connection can be reused."""
        chunks: list[T] = []
        if self.done:
            return chunks
        for data in self._events.feed(piece):
            if data == _DONE:
                self.done = True
                break
            chunk = object_of(data)
            if chunk.get("error"):
                raise failure_in_stream(chunk, self._id)
            value = chunk_of(self._call, chunk)
            chunks.append(value if self._begun else with_headers(value, self._response))
            self._begun = True
        return chunks

    def close(self) -> None:
        """Handles the end of the body. Raises Interrupted if it came too early."""
        if not self.done:
            raise Interrupted(
                "The answer broke off before its end marker.", kind="upstream_interrupted", request_id=self._id
            )

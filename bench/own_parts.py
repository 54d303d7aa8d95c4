"""What replaces sockets in bench.own: a caller with HTTP/2 and a provider with HTTP/1.1, as bytes."""
# ruff: noqa: N802 (names of methods are the contract's)

from __future__ import annotations

import asyncio
import json
import select
from typing import Any, cast

from google.api.httpbody_pb2 import HttpBody

from adapters import Task
from bench.load import PROMPT
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Budget, Consumer, Limit, Price, Route, Snapshot, Upstream
from sidecar.transport import Listener, Methods, Server
from sidecar.transport.connection import connection_for
from sidecar.upstream.connection import Connection
from sidecar.upstream.dial import Dialer, Place
from sidecar.upstream.gathering import Gathering
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc, rest_pb2_grpc

ROUTE = "bench"
_TEXT = b"Forty-two. " * 9
_ANSWER = {
    "id": "chatcmpl-0123456789", "object": "chat.completion", "created": 1_700_000_000, "model": "bench-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT.decode()}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 25, "completion_tokens": 30, "total_tokens": 55},
}  # fmt: skip
_BODY = json.dumps(_ANSWER).encode()
_HTTP = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(_BODY)
) + _BODY
_QUESTION = {"model": ROUTE, "messages": [{"role": "user", "content": PROMPT}]}


def snapshot_of(governed: bool) -> Snapshot:
    upstream = Upstream(
        "openai-compatible",
        "bench-model",
        "http://127.0.0.1:9/v1",
        Secret("bench-key-of-some-length"),
        price=Price(150_000, 600_000) if governed else None,
    )
    limits = (Limit("requests", 10**9, 60), Limit("tokens", 10**9, 60)) if governed else ()
    budgets = (Budget(10**12, "month"),) if governed else ()
    consumers = None
    if governed:
        consumers = (Consumer("bench", users=("sidecar",), allow=(ROUTE,)), Consumer("here", local=True))
    return Snapshot(
        {ROUTE: Route(ROUTE, Task.CHAT, (upstream,), limits=limits, budgets=budgets)}, "0", consumers=consumers
    )


class _Socket:
    """A transport that is never full."""

    def __init__(self) -> None:
        self.protocol: Any = None

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 40_000) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def write_eof(self) -> None: ...

    def close(self) -> None: ...

    abort = close


class _Provider(_Socket):
    """Answers every request in the next turn of the loop."""

    def write(self, data: bytes) -> None:
        asyncio.get_running_loop().call_soon(self.protocol.data_received, _HTTP)


class Answers(Dialer):
    """Connections to a provider that answers at once."""

    async def dial(self, place: Place) -> Connection:
        provider = _Provider()
        connection = provider.protocol = Connection(Gathering())
        connection.connection_made(cast(asyncio.BaseTransport, provider))
        connection._poller = select.poll()  # without a socket: nothing ever arrives
        return connection


class _Client(_Socket):
    def __init__(self) -> None:
        super().__init__()
        self.done = asyncio.Event()
        self.bytes = self.answers = 0

    def write(self, data: bytes) -> None:
        self.bytes += len(data)
        self.answers += data.count(_TEXT)
        if not self.protocol.calls:
            self.done.set()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: str, value: str) -> bytes:
    """RFC 7541, section 6.2.2: self-contained, whatever came before."""
    return b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


class Caller:
    """One HTTP/2 connection to a server of ours."""

    def __init__(self, server: Server, listener: Listener, *, rest: bool) -> None:
        self._client = _Client()
        self._connection = self._client.protocol = connection_for(server, listener)()
        self._connection.connection_made(self._client)
        settings = _frame(4, 0, 0, bytes((0, 4)) + (2**31 - 1).to_bytes(4, "big"))
        more = _frame(8, 0, 0, (2**29).to_bytes(4, "big"))
        self._connection.data_received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + more)
        self._stream = 1
        service = "RestService/ChatCompletions" if rest else "InferenceService/Chat"
        head = [
            (":method", "POST"), (":scheme", "http"), (":path", f"/sidecar.v1.{service}"), (":authority", "core"),
            ("te", "trailers"), ("content-type", "application/grpc"),
        ]  # fmt: skip
        if rest:
            message = HttpBody(content_type="application/json", data=json.dumps(_QUESTION).encode()).SerializeToString()
            head += [("x-sidecar-user", "sidecar"), ("x-request-id", "0123456789abcdef" * 2), ("accept", "*/*")]
            head += [("user-agent", "Python/3.11 aiohttp/3.9")]
        else:
            parts = [pb.ContentPart(text=PROMPT)]
            request = pb.ChatRequest(route=ROUTE, messages=[pb.Message(role=pb.ROLE_USER, content=parts)])
            message = request.SerializeToString()
            head += [("grpc-timeout", "30S"), ("grpc-accept-encoding", "identity, deflate, gzip")]
            head += [("user-agent", "grpc-python/1.85 grpc-c/1.85 (linux; chttp2)")]
        self._head = b"".join(_literal(name, value) for name, value in head)
        self._body = b"\0" + len(message).to_bytes(4, "big") + message

    async def batch(self, calls: int) -> None:
        """Makes this many calls at once and waits for them. Raises RuntimeError if one failed."""
        client, connection = self._client, self._connection
        client.done.clear()
        bytes_before, answers_before = client.bytes, client.answers
        for _ in range(calls):
            stream, self._stream = self._stream, self._stream + 2
            connection.data_received(_frame(1, 4, stream, self._head) + _frame(0, 1, stream, self._body))
        await client.done.wait()
        if client.answers - answers_before != calls:
            raise RuntimeError("the calls were not answered")
        more = (client.bytes - bytes_before).to_bytes(4, "big")
        connection.data_received(_frame(8, 0, 0, more))

    def close(self) -> None:
        self._connection.abort()


def echo_methods() -> Methods:
    """Handlers with the constant answer that the gateway would give."""
    methods = Methods()
    parts = [pb.ContentPart(text=_TEXT.decode())]
    message = pb.ChatResponse(choices=[pb.Choice(message=pb.Message(content=parts))])
    head = (("x-http-status", "200"), ("x-http-content-type", "application/json"), ("x-request-id", "0" * 32))

    class Inference(inference_pb2_grpc.InferenceServiceServicer):
        async def Chat(self, request: Any, context: Any) -> Any:
            return message

    class Rest(rest_pb2_grpc.RestServiceServicer):
        async def ChatCompletions(self, request: Any, context: Any) -> None:
            await context.send_initial_metadata((*head, ("x-sidecar-upstream", "openai-compatible")))
            await context.write(HttpBody(content_type="application/json", data=_BODY))

    inference_pb2_grpc.add_InferenceServiceServicer_to_server(Inference(), methods)
    rest_pb2_grpc.add_RestServiceServicer_to_server(Rest(), methods)
    return methods

"""A small load generator: each way into the gateway as one coroutine, driven in a closed loop or at a rate.

Every call ends as exactly one word in a Counter: OK, or what went wrong. Nothing is retried here, except what gRPC's library
does for each of its users (a call that provably never reached the server).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import grpc
import grpc.aio

from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.processes import reached

OK = "ok"
CALL_S = 30.0
_CLOSED_S = 20.0
# At a fixed rate: more calls open than this and the gateway is stuck, which is a result too.
OPEN_MAX = 500
Ask = Callable[[], Awaitable[str]]
Counts = Counter[str]


def chat_body(
    text: str = "Say something.", *, stream: bool = False, model: str = "chat", **members: Any
) -> dict[str, Any]:
    """OpenAI's JSON."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}], **members}
    return {**body, "stream": True} if stream else body


def chat_request(text: str = "Say something.", *, route: str = "chat") -> pb.ChatRequest:
    """The same, typed."""
    return pb.ChatRequest(route=route, messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=text)])])


class Callers:
    """async with Callers(env) as callers: every way in. `env` is what `.sidecar/env` says."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.metadata = (("authorization", f"Bearer {env['SIDECAR_API_KEY']}"),)
        self._stack = AsyncExitStack()
        self._sockets: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        env = self._env
        trust = ssl.create_default_context(cafile=env["SIDECAR_CA"])
        self._kept = await self._session(self._connector(trust))
        self._fresh = await self._session(self._connector(trust, force_close=True))
        ca = grpc.ssl_channel_credentials(Path(env["SIDECAR_CA"]).read_bytes())
        # Subchannels are pooled process-wide by default: two channels to one address would be one connection.
        local = [("grpc.use_local_subchannel_pool", 1)]
        self.local_channel = grpc.aio.insecure_channel(env["SIDECAR_GRPC_LOCAL"], local)
        self.front_channel = grpc.aio.secure_channel(env["SIDECAR_GRPC"], ca, local)
        for channel in (self.local_channel, self.front_channel):
            self._stack.push_async_callback(channel.close, None)
        self.by_local = inference_pb2_grpc.InferenceServiceStub(self.local_channel)
        self.by_front = inference_pb2_grpc.InferenceServiceStub(self.front_channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        # A closed session's TLS connections end a little later: were the loop gone by then, they would be a leak.
        await reached(
            lambda: all(sock.fileno() == -1 for sock in self._sockets), _CLOSED_S, "the end of all connections"
        )

    def _connector(self, trust: ssl.SSLContext, **more: Any) -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector(limit=0, ssl=trust, socket_factory=self._socket, **more)

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Remembered until it is closed."""
        self._sockets = [sock for sock in self._sockets if sock.fileno() != -1]
        self._sockets.append(socket.socket(*address[:3]))
        return self._sockets[-1]

    async def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            self._env["SIDECAR_URL"],
            connector=connector,
            headers=dict(self.metadata),
            timeout=aiohttp.ClientTimeout(total=CALL_S),
        )
        return await self._stack.enter_async_context(session)

    async def rest(self) -> str:
        """Through Nginx on kept connections."""
        return await _rest(self._kept, chat_body())

    async def rest_fresh(self) -> str:
        """Through Nginx, a new connection for each call."""
        return await _rest(self._fresh, chat_body())

    async def rest_stream(self, body: dict[str, Any] | None = None) -> str:
        """A stream through Nginx; OK if it ends in [DONE]."""
        return await _rest_stream(self._kept, body or chat_body(stream=True))

    async def local(self) -> str:
        return await _unary(self.by_local, None)

    async def front(self) -> str:
        """gRPC through Nginx."""
        return await _unary(self.by_front, self.metadata)

    async def local_stream(self, request: pb.ChatRequest | None = None) -> str:
        return await _typed_stream(self.by_local, None, request or chat_request())

    async def front_stream(self, request: pb.ChatRequest | None = None) -> str:
        return await _typed_stream(self.by_front, self.metadata, request or chat_request())


async def _rest(session: aiohttp.ClientSession, body: dict[str, Any]) -> str:
    try:
        async with session.post("/v1/chat/completions", json=body) as response:
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return repr(error)
    if response.status != 200:
        return f"HTTP {response.status}: {answer}"
    return OK if answer["choices"][0]["message"]["content"] else f"no content: {answer}"


async def _rest_stream(session: aiohttp.ClientSession, body: dict[str, Any]) -> str:
    last = b""
    try:
        async with session.post("/v1/chat/completions", json=body) as response:
            if response.status != 200:
                return f"HTTP {response.status}: {await response.text()}"
            async for line in response.content:
                last = line.strip() or last
    except (aiohttp.ClientError, TimeoutError) as error:
        return repr(error)
    return OK if last == b"data: [DONE]" else f"ended with {last[:200]!r}"


async def _unary(stub: Any, metadata: Any) -> str:
    try:
        answer = await stub.Chat(chat_request(), metadata=metadata, timeout=CALL_S)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    return OK if answer.choices else "no choices"


async def _typed_stream(stub: Any, metadata: Any, request: pb.ChatRequest) -> str:
    finished = 0
    try:
        async for chunk in stub.StreamChat(request, metadata=metadata, timeout=CALL_S):
            finished += sum(bool(choice.finish_reason) for choice in chunk.choices)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    return OK if finished == 1 else f"{finished} choices finished"


async def closed_loop(asks: Sequence[Ask], in_flight: int, count: int, until: asyncio.Event | None = None) -> Counts:
    """`in_flight` callers, each asking again at once, in turn by each of `asks`: `count` calls, and on until `until`."""
    counts, begun = Counts(), 0

    async def caller(number: int) -> None:
        nonlocal begun
        while begun < count or (until is not None and not until.is_set()):
            begun += 1
            counts[await asks[number % len(asks)]()] += 1
            number += 1

    await asyncio.gather(*(caller(number) for number in range(in_flight)))
    return counts


async def at_rate(ask: Ask, per_s: float, until: asyncio.Event) -> Counts:
    """Begins a call every 1/`per_s` seconds, however long they take, until `until`; returns when all have ended."""
    loop, counts = asyncio.get_running_loop(), Counts()
    calls: set[asyncio.Task[None]] = set()

    async def call() -> None:
        counts[await ask()] += 1

    next_s = loop.time()
    while not until.is_set():
        assert len(calls) < OPEN_MAX, f"{len(calls)} calls open, ended so far: {counts}"
        task = asyncio.create_task(call())
        calls.add(task)
        task.add_done_callback(calls.discard)
        next_s += 1 / per_s
        await asyncio.sleep(max(0.0, next_s - loop.time()))
    await asyncio.gather(*calls)
    return counts


def lost(counts: Counts) -> Counts:
    """What was not OK."""
    return Counter({word: count for word, count in counts.items() if word != OK})

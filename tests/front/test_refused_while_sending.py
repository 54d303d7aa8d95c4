"""A refusal reaches every client that still sends its body when it comes: the table of docs/fronts.md."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import h2.config
import h2.connection
import h2.events
import httpx
import llm_gateway_client
import pytest

from sidecar.domain.sizes import REQUEST_BYTES_MAX
from sidecar.front.programs import PROGRAMS, Program
from tests.front.conftest import Front, Running, hang_up, start_core, start_front
from tests.front.double import Core
from tests.front.senders import SENDERS, Case, Sender, grpc_js

pytestmark = [pytest.mark.slow, pytest.mark.needs("curl"), pytest.mark.needs("go")]
CHAT = "/v1/chat/completions"
METHOD = "/sidecar.v1.InferenceService/Chat"
JSON = "application/json"
KB_200, MB_20, TOO_LARGE = 200_000, 20_000_000, REQUEST_BYTES_MAX + 100_000
# Nginx ends a connection of which it has thrown away 8 MiB; Node's http2 then loses one answer in two.
LOST = {("nginx", "Node's http2")}
HELD = 4


@pytest.fixture(scope="module", params=PROGRAMS.values(), ids=list(PROGRAMS))
def few(request: pytest.FixtureRequest) -> Iterator[Front]:
    """A front that takes few calls at once from one address, where it counts them."""
    state = Path(tempfile.mkdtemp(prefix="front-"))
    running = start_front(state, request.param, calls_per_client=HELD)
    yield running
    running.stop()
    shutil.rmtree(state)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What makes a status, and with how large a body."""

    status: int
    bytes: int
    path: str = CHAT
    wrong_key: bool = False
    type: str = JSON


ALWAYS = [
    *(Refusal(401, size, wrong_key=True) for size in (KB_200, MB_20)),
    *(Refusal(404, size, "/chat/completions") for size in (KB_200, MB_20)),
    Refusal(405, KB_200, "/v1/models"),
    Refusal(415, KB_200, type="text/plain"),
    Refusal(413, TOO_LARGE),
]
TOO_MANY = [Refusal(429, KB_200), Refusal(429, MB_20)]
NOBODY = [Refusal(503, KB_200), Refusal(503, MB_20)]


def case(front: Front, refusal: Refusal) -> Case:
    authorization = "Bearer wrong" if refusal.wrong_key else front.bearer["authorization"]
    return Case(front.url + refusal.path, str(front.ca), authorization, refusal.type, refusal.bytes)


@asynccontextmanager
async def too_many(front: Front, core: Core) -> AsyncIterator[None]:
    """Nginx counts calls by address; behind Envoy it is the core that has had enough."""
    if front.program.name == "envoy":
        core.script.status, core.script.pieces = 429, [b'{"error":{}}']
        yield
        return
    core.script.hold = True
    async with front.http(1) as http:
        held = [asyncio.create_task(http.post(CHAT, json={}, headers=front.basic)) for _ in range(HELD)]
        while len(core.calls) < HELD:
            core.arrived.clear()
            await core.arrived.wait()
        yield
        for each in held:
            each.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def received_by_all(front: Front, send: Sender, may_lose: Callable[[Refusal], bool]) -> None:
    core = await start_core(front)

    async def check(refusals: Sequence[Refusal]) -> None:
        wanted = [each for each in refusals if not may_lose(each)]
        assert await send([case(front, each) for each in wanted]) == [each.status for each in wanted]

    try:
        await check(ALWAYS)
        assert core.calls == []
        async with too_many(front, core):
            await check(TOO_MANY)
    finally:
        await core.stop()
    await check(NOBODY)


@pytest.mark.parametrize("name", SENDERS)
async def test_a_refusal_reaches_whoever_still_sends(few: Front, name: str) -> None:
    lost = (few.program.name, name) in LOST
    await received_by_all(few, SENDERS[name], lambda refusal: lost and refusal.bytes > KB_200)


@pytest.mark.parametrize("kind", ["HTTP/1.1", "HTTP/2", "HTTP/1.1 without a loop"])
async def test_a_refusal_reaches_httpx(few: Front, kind: str) -> None:
    options: dict[str, Any] = {"verify": few.tls(), "timeout": 60, "http2": kind == "HTTP/2", "http1": kind != "HTTP/2"}

    async def send(cases: Sequence[Case]) -> list[int | str]:
        received: list[int | str] = []
        for each in cases:
            headers, content = {"authorization": each.authorization, "content-type": each.type}, b"x" * each.bytes
            if kind == "HTTP/1.1 without a loop":
                answer = await asyncio.to_thread(_post, options, each.url, headers, content)
            else:
                async with httpx.AsyncClient(**options) as http:
                    answer = await http.post(each.url, content=content, headers=headers)
            assert "error" in answer.json()
            received.append(answer.status_code)
        return received

    # By HTTP/2 it copies the rest of the body for each frame: 34 MB take it half a minute.
    await received_by_all(few, send, lambda refusal: kind == "HTTP/2" and refusal.bytes > MB_20)


def _post(options: dict[str, Any], url: str, headers: dict[str, str], content: bytes) -> httpx.Response:
    with httpx.Client(**options) as http:
        return http.post(url, content=content, headers=headers)


@pytest.mark.parametrize("size", [KB_200, MB_20])
async def test_a_refusal_reaches_our_own_client(few: Front, size: int) -> None:
    client = llm_gateway_client.AsyncClient(few.url, api_key="d3Jvbmc6d3Jvbmc=", ca=str(few.ca))
    async with client:
        with pytest.raises(llm_gateway_client.Unauthenticated):
            await client.chat("chat", "x" * size)


GRPC = [(METHOD, "wrong", KB_200, 16), (METHOD, "wrong", MB_20, 16), ("/a.B/C", "right", MB_20, 12)]
GRPC_TOO_LARGE = (METHOD, "right", TOO_LARGE, 3)


async def test_a_refusal_reaches_grpcio_and_grpc_js(few: Front) -> None:
    core = await start_core(few)
    keys = {"wrong": "Bearer wrong", "right": few.bearer["authorization"]}
    requests = [*GRPC, GRPC_TOO_LARGE]
    codes = [code for *_, code in requests]
    try:
        async with few.channel() as channel:
            assert [await _grpcio(channel, path, keys[key], size) for path, key, size, _ in requests] == codes
        cases = [Case(few.url + path, str(few.ca), keys[key], "", size) for path, key, size, _ in requests]
        assert await grpc_js(cases) == codes
        assert core.calls == []
    finally:
        await core.stop()


async def _grpcio(channel: grpc.aio.Channel, path: str, authorization: str, size: int) -> int:
    call: Any = channel.unary_unary(path, bytes, bytes)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"x" * size, metadata=(("authorization", authorization),), timeout=60)
    return int(caught.value.code().value[0])


# By HTTP/1.1: the request's head, and the pieces of its body.
STRANGER = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer wrong\r\nContent-Type: application/json\r\n"
)
PIECE = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


async def _opened(front: Front) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", front.port, ssl=front.tls(), server_hostname="localhost")


async def test_a_body_without_end_is_not_read_without_end(running: Running, program: Program) -> None:
    """Envoy counts bytes, and Nginx seconds."""
    async with running(program, refused_bytes_max=1_000_000, body_timeout_s=1) as (front, _):
        reader, writer = await _opened(front)
        writer.write(f"{STRANGER}Transfer-Encoding: chunked\r\n\r\n".encode())
        began_s = time.monotonic()
        with suppress(ConnectionError, ssl.SSLError):
            while True:
                writer.write(PIECE)
                await writer.drain()
                await asyncio.sleep(0)  # without a turn of the loop a lost connection goes unnoticed
                if writer.transport.is_closing():
                    break
        assert time.monotonic() - began_s < 20
        await hang_up(writer)
        reader, writer = await _opened(front)
        writer.write(f"{STRANGER}Transfer-Encoding: chunked\r\n\r\n".encode() + PIECE * 32)
        head = await asyncio.wait_for(reader.readuntil(b"}}"), timeout=30)
        # Envoy: whichever comes first, that the body is too large or that its sender may not send any.
        assert head.split(b" ", 2)[1] in {"nginx": [b"401"], "envoy": [b"401", b"413"]}[program.name]
        await hang_up(writer)


async def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(running: Running, program: Program) -> None:
    async with running(program, refused_bytes_max=1_000_000) as (front, _):
        reader, writer = await _opened(front)
        writer.write(f"{STRANGER}Content-Length: 1000001\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"}}"), timeout=30)
        assert head.split(b" ", 2)[1] == b"401"
        await hang_up(writer)


async def test_the_window_of_a_refused_stream_is_never_opened_further(running: Running) -> None:
    """Nginx. What a stranger may send by HTTP/2 is the first window."""
    async with running(PROGRAMS["nginx"], refused_bytes_max=1_000_000) as (front, _):
        tls = front.tls()
        tls.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port, ssl=tls, server_hostname="localhost")
        h2_side = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        h2_side.initiate_connection()
        head = {":method": "POST", ":path": CHAT, ":scheme": "https", ":authority": "localhost"}
        h2_side.send_headers(1, [*head.items(), ("content-type", JSON), ("content-length", "5000000")])
        writer.write(h2_side.data_to_send())
        seen: list[h2.events.Event] = []
        while not any(isinstance(each, h2.events.StreamReset) for each in seen):
            seen += h2_side.receive_data(await reader.read(65536))
        assert h2_side.remote_settings.initial_window_size == 1_000_000
        assert not [each for each in seen if isinstance(each, h2.events.WindowUpdated) and each.stream_id == 1]
        (reset,) = (each for each in seen if isinstance(each, h2.events.StreamReset))
        assert reset.error_code == 0
        await hang_up(writer)


def _pids(front: Front) -> list[int]:
    """The front and its children."""
    pid = front.process.pid
    workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, workers)]


def _peak_bytes(front: Front) -> int:
    found = 0
    for pid in _pids(front):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return found


@pytest.mark.parametrize("name", ["newest curl, HTTP/1.1", "newest curl, HTTP/2"])
async def test_bodies_that_are_thrown_away_take_no_memory(few: Front, name: str) -> None:
    core = await start_core(few)
    try:
        one = case(few, Refusal(401, MB_20, wrong_key=True))
        await SENDERS[name]([replace(one, bytes=KB_200)])
        before = _peak_bytes(few)
        received = await asyncio.gather(*(SENDERS[name]([one]) for _ in range(HELD)))
        assert [status for each in received for status in each] == [401] * HELD
        assert _peak_bytes(few) - before < MB_20
    finally:
        await core.stop()

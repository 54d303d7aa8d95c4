"""Behind a balancer: whose word on a caller's address is believed, listeners without TLS, IPv4 and IPv6 at once."""

from __future__ import annotations

import asyncio
import ssl

import grpc
import httpx
import pytest

from sidecar.front.programs import PROGRAMS, Program
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc
from tests.front.conftest import Front, Running
from tests.front.double import Script
from tests.processes import free_port, reached

HERE, ELSEWHERE = ("127.0.0.0/8", "::1/128"), ("10.0.0.0/8",)
CALLER, OTHER = "203.0.113.7", "198.51.100.9"


async def _logged(front: Front, request_id: str) -> str:
    """The address that the access log has of a request."""
    await reached(lambda: request_id in front.logs, 30)
    (line,) = [line for line in front.logs.splitlines() if request_id in line]
    return line.split()[0]


async def test_a_trusted_proxy_is_believed_about_the_callers_address_and_nobody_else(
    running: Running, program: Program
) -> None:
    async with running(program, trusted_proxies=HERE) as (front, _), front.http() as http:
        for number, (header, address) in enumerate(
            [
                (CALLER, CALLER),
                (f"{OTHER}, {CALLER}", CALLER),  # what the caller said of itself stands before it
                (f"{CALLER}, 127.0.0.9", CALLER),  # two proxies, both trusted
                ("2001:db8::7", "2001:db8::7"),
                ("nonsense", "127.0.0.1"),
                ("", "127.0.0.1"),
            ]
        ):
            request_id = f"believed-{number}"
            headers = {**front.basic, "x-forwarded-for": header, "x-request-id": request_id}
            assert (await http.get("/v1/models", headers=headers)).status_code == 200
            assert await _logged(front, request_id) == address, header


async def test_a_peer_that_is_not_trusted_is_itself_whatever_it_says(running: Running, program: Program) -> None:
    async with running(program, trusted_proxies=ELSEWHERE) as (front, core), front.http() as http:
        headers = {"x-forwarded-for": CALLER, "x-forwarded-prefix": "/llm", "x-request-id": "not-believed"}
        assert (await http.get("/v1/models", headers={**front.basic, **headers})).status_code == 200
        assert await _logged(front, "not-believed") == "127.0.0.1"
        assert not [key for key, _ in core.calls[-1].metadata if key.startswith("x-forwarded")]


async def test_the_path_prefix_of_a_trusted_proxy_goes_on_and_the_address_does_not(
    running: Running, program: Program
) -> None:
    async with (
        running(program, trusted_proxies=HERE) as (front, core),
        front.http() as http,
        front.channel() as channel,
    ):
        headers = {**front.basic, "x-forwarded-for": CALLER, "x-forwarded-prefix": "/llm", "x-forwarded-host": "x"}
        assert (await http.get("/", headers=headers)).status_code == 200
        seen = {key: value for key, value in core.calls[-1].metadata if key.startswith("x-forwarded")}
        assert seen == {"x-forwarded-prefix": "/llm"}
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        await stub.Chat(pb.ChatRequest(route="r"), metadata=tuple(headers.items()))
        assert ("x-forwarded-for", CALLER) not in core.calls[-1].metadata


async def test_behind_a_balancer_each_caller_has_calls_of_its_own(running: Running) -> None:
    """Nginx's alone: Envoy does not count them."""
    async with (
        running(PROGRAMS["nginx"], trusted_proxies=HERE, calls_per_client=2) as (front, core),
        front.http(2) as balancer,
    ):
        core.script = Script(content_type="text/event-stream", pieces=[b"data: 1\n\n"], hold=True)

        async def call(address: str) -> httpx.Response:
            headers = {**front.basic, "x-forwarded-for": address}
            return await balancer.post("/v1/chat/completions", json={}, headers=headers)

        held = [asyncio.ensure_future(call(address)) for address in (CALLER, CALLER, OTHER, OTHER, "192.0.2.1")]
        await reached(lambda: len(core.calls) == 5, 30)
        refused = await call(CALLER)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "the limit for one address is 2" in refused.json()["error"]["message"]
        for each in held:
            each.cancel()
        await asyncio.gather(*held, return_exceptions=True)


async def _by_proxy_protocol(front: Front, preface: bytes, request_id: str) -> bytes:
    """The answer to a request by HTTP/1.1 whose connection begins with `preface`; b"" where the front hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    try:
        writer.write(preface)
        await writer.start_tls(front.tls(), server_hostname="localhost")
        lines = ["GET /v1/models HTTP/1.1", "host: localhost", "connection: close", f"x-request-id: {request_id}"]
        lines += [f"{name}: {value}" for name, value in front.basic.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        return await reader.read()
    except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
        return b""
    finally:
        writer.transport.abort()


async def test_proxy_protocol_tells_the_callers_address_and_headers_do_not(running: Running, program: Program) -> None:
    async with running(program, trusted_proxies=HERE, proxy_protocol=True) as (front, _):
        while b"HTTP/1.1 200" not in await _by_proxy_protocol(front, b"PROXY UNKNOWN\r\n", "has-a-core"):
            await asyncio.sleep(0.01)
        line = f"PROXY TCP4 {CALLER} 127.0.0.1 5000 443\r\n".encode()
        assert b"HTTP/1.1 200" in await _by_proxy_protocol(front, line, "by-proxy-protocol")
        assert await _logged(front, "by-proxy-protocol") == CALLER
        assert b"HTTP/1.1 200" in await _by_proxy_protocol(front, b"PROXY UNKNOWN\r\n", "of-the-balancer")
        assert await _logged(front, "of-the-balancer") == "127.0.0.1"
        assert await _by_proxy_protocol(front, b"", "without-the-line") == b""


async def test_without_tls_for_a_balancer_that_ends_it(running: Running, program: Program) -> None:
    port = free_port()
    async with running(program, plain_addresses=(("127.0.0.1", port),)) as (front, core):
        for http2 in (False, True):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", http1=not http2, http2=http2) as http:
                answer = await http.post("/v1/chat/completions", json={}, headers=front.basic)
                assert (answer.status_code, answer.http_version) == (200, "HTTP/2" if http2 else "HTTP/1.1")
                assert (await http.get("/v1/models")).status_code == 401
                assert (await http.get("/health")).status_code == 200
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            await stub.Chat(pb.ChatRequest(route="r"), metadata=tuple(front.bearer.items()))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Chat(pb.ChatRequest(route="r"))
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert core.calls[-1].rpc == "Chat"
        async with front.http() as http:
            assert (await http.get("/v1/models", headers=front.basic)).status_code == 200, "TLS goes on beside it"


async def test_ipv4_and_ipv6_at_once(running: Running, program: Program) -> None:
    async with running(program, listen_host="127.0.0.1", more_hosts=("::1",)) as (front, _):
        for host in ("127.0.0.1", "[::1]"):
            async with httpx.AsyncClient(base_url=f"https://{host}:{front.port}", verify=front.tls()) as http:
                assert (await http.get("/v1/models", headers=front.basic)).status_code == 200, host

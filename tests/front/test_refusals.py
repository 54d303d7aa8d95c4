"""What the front itself refuses, in OpenAI's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.front.programs import Program
from tests.front.conftest import Front, hang_up, start_core, start_front
from tests.front.double import Core

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}

REFUSED: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "unknown path": (404, "GET", "/v1/nothing", {}),
    "unknown path of gRPC's shape": (404, "POST", "/a.B/C", {"json": {}}),
    "two slashes": (404, "GET", "/v1//models", {}),
    "a slash in a variable of one segment": (404, "GET", "/docs/a%2Fb", {}),
    "two slashes in a name": (404, "GET", "/v1/models/a//b", {}),
    "a slash at the end of a name": (404, "GET", "/v1/models/a/b/", {}),
    "a newline behind a variable": (404, "GET", "/v1/models/a%0A", {}),
    "get on post": (405, "GET", CHAT, {}),
    "post on get": (405, "POST", "/v1/models", {"json": {}}),
    "delete": (405, "DELETE", "/v1/models/chat", {}),
    "form": (415, "POST", CHAT, {"data": {"a": "b"}}),
    "no content type": (415, "POST", CHAT, {"content": b"{}"}),
    "compressed by brotli": (415, "POST", CHAT, {"json": {}, "headers": {"content-encoding": "br"}}),
    "compressed twice": (415, "POST", CHAT, {"json": {}, "headers": {"content-encoding": "gzip, zstd"}}),
    "query on post": (400, "POST", CHAT + "?model=other", {"json": {}}),
    "query on get": (400, "GET", "/v1/models?limit=2", {}),
    "body on get": (400, "GET", "/v1/models", {"json": {}}),
    "grpc path without grpc": (415, "POST", "/sidecar.v1.InferenceService/Chat", {"json": {}}),
}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("what", REFUSED)
async def test_the_front_refuses(front: Front, core: Core, what: str, version: int) -> None:
    status, method, path, options = REFUSED[what]
    options = {**options, "headers": {**front.basic, **options.get("headers", {})}}
    async with front.http(version) as http:
        answer = await http.request(method, path, **options)
        error = answer.json()["error"]
        assert (answer.status_code, set(error)) == (status, {"message", "type", "param", "code"})
        assert error["type"] == "invalid_request_error"
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-request-id"]
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers.get("accept-encoding") == ("gzip, zstd" if status == 415 else None)
        if status == 405:
            assert answer.headers["allow"] == ("POST" if path == CHAT else "GET, HEAD")
        assert core.calls == []
        again = await http.get("/v1/models", headers=front.basic)
    assert again.status_code == 200


LARGE_HEADERS = {"one": {"x-long": "a" * 17_000}, "many": {f"x-{i}": "a" * 1_000 for i in range(20)}}


@pytest.mark.parametrize("headers", LARGE_HEADERS.values(), ids=list(LARGE_HEADERS))
async def test_headers_above_16_kib_are_431_and_never_reach_the_core(
    front: Front, core: Core, headers: dict[str, str]
) -> None:
    async with front.http() as http:
        answer = await http.get("/v1/models", headers={**front.basic, **headers})
        assert (answer.status_code, answer.json()["error"]["code"]) == (431, "headers_too_large")
        near = await http.get("/v1/models", headers={**front.basic, "x-long": "a" * 15_000})
        assert near.status_code == 200
    async with front.http(2) as http:  # here nginx knows no 431: it ends the connection (ENHANCE_YOUR_CALM)
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/v1/models", headers={**front.basic, **headers})
        near = await http.get("/v1/models", headers={**front.basic, "x-long": "a" * 15_000})
        assert near.status_code == 200
    assert len(core.calls) == 2


# What Nginx and Envoy say to it. Envoy counts the URL among the headers, and asks for credentials before it looks further.
NO_REQUEST = [
    (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, 400),
    (b"NONSENSE\r\n\r\n", 400, 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400, 400),
    (b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, 431),
    (b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400, 401),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 400),
    (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, 401),
]


@pytest.mark.parametrize(("sent", "nginx", "envoy"), NO_REQUEST)
async def test_what_is_no_request_is_a_json_error(front: Front, sent: bytes, nginx: int, envoy: int) -> None:
    status = {"nginx": nginx, "envoy": envoy}[front.program.name]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", front.port, ssl=front.tls(), server_hostname="localhost"
    )
    writer.write(sent)
    head = (await asyncio.wait_for(reader.readuntil(b"}}"), timeout=30)).decode()
    await hang_up(writer)
    assert int(head.split(" ", 2)[1]) == status
    assert f'"type":"{"authentication_error" if status == 401 else "invalid_request_error"}"' in head


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_above_the_limit_is_413(state: Path, program: Program, chunked: bool, version: int) -> None:
    async def chunks(size: int) -> AsyncIterator[bytes]:
        yield b"x" * size

    front = start_front(state, program, body_bytes_max=50_000)
    core = await start_core(front)
    try:
        async with front.http(version) as http:
            statuses = []
            for size in (50_001, 50_000):
                content = chunks(size) if chunked else b"x" * size
                answer = await http.post(CHAT, content=content, headers={**front.basic, **JSON})
                statuses.append(answer.status_code)
                assert size == 50_000 or answer.json()["error"]["code"] == "request_too_large"
        assert statuses == [413, 200]
        assert len(core.call.request.data) == 50_000
    finally:
        await core.stop()
        front.stop()


async def test_a_core_that_stays_silent_is_504(state: Path, program: Program) -> None:
    front = start_front(state, program, read_timeout_s=1)
    core = await start_core(front)
    core.script.wait_s = 30
    try:
        async with front.http() as http:
            answer = await http.post(CHAT, json={}, headers=front.basic)
        assert (answer.status_code, answer.json()["error"]["type"]) == (504, "api_error")
    finally:
        await core.stop()
        front.stop()

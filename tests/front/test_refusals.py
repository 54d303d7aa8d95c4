"""What the front itself refuses, in OpenAI's words."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.front.programs import Program
from tests.front.conftest import Front, hang_up, start_core, start_front
from tests.front.double import Core
from tests.processes import reached

CHAT = "/v1/chat/completions"
BIN = Path(sys.executable).parent
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
    "query on get": (400, "GET", "/v1/models?page=2", {}),
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


CHAT_IS_THERE = "Use POST /v1/chat/completions: the base URL of OpenAI's clients ends in /v1."
DEPLOYMENTS_ARE_THERE = (
    "The paths are POST /openai/deployments/NAME/chat/completions, .../completions and .../embeddings: the endpoint of "
    "Azure's clients is this gateway's URL without a path."
)
NEAR = {
    "/chat/completions": f"Unknown path /chat/completions. {CHAT_IS_THERE}",
    "/v1/chat/completions/": f"Unknown path /v1/chat/completions/. {CHAT_IS_THERE}",
    "/v1/v1/chat/completions?key=sk-canary": f"Unknown path /v1/v1/chat/completions. {CHAT_IS_THERE}",
    "/v1/chat/completions/chat/completions": f"Unknown path /v1/chat/completions/chat/completions. {CHAT_IS_THERE}",
    "/openai/deployments/gpt-4o/Chat/Completions?api-version=1": (
        f"Unknown path /openai/deployments/gpt-4o/Chat/Completions. {DEPLOYMENTS_ARE_THERE}"
    ),
    "/v1/openai/deployments/a/embeddings?api-version=1": (
        f"Unknown path /v1/openai/deployments/a/embeddings. {DEPLOYMENTS_ARE_THERE}"
    ),
    "/v1//embeddings": "Unknown path /v1//embeddings. Use POST /v1/embeddings: the base URL of OpenAI's clients ends in /v1.",
    "/messages": "Unknown path /messages. Use POST /v1/messages: the base URL of Anthropic's clients ends before /v1.",
    "/responses": "Unknown path /responses. Use POST /v1/responses: the base URL of OpenAI's clients ends in /v1.",
    "/v1/audio/speech": (
        "Unknown path /v1/audio/speech. Chat, completions and embeddings are served here: POST /v1/chat/completions, for one."
    ),
    "/healthz": "Unknown path /healthz. Use GET /health.",
    "/v1/nothing": "Unknown path /v1/nothing. See GET /docs for all paths.",
    "/v1/%22,%22a": "Unknown path. See GET /docs for all paths.",
    "/v1/<b>": "Unknown path. See GET /docs for all paths.",
    "/.env": "Unknown path. See GET /docs for all paths.",
    f"/{'a' * 300}": f"Unknown path /{'a' * 199}. See GET /docs for all paths.",
    f"/a{'/' * 9_000}b": f"Unknown path /a{'/' * 198}. See GET /docs for all paths.",
    "/chat" * 2_000: f"Unknown path {'/chat' * 40}. Use POST /v1/chat/completions.",
}


@pytest.mark.parametrize("version", [1, 2])
async def test_a_404_names_the_path_and_what_there_is_near_it(front: Front, core: Core, version: int) -> None:
    async with front.http(version) as http:
        for path, message in NEAR.items():
            for method in ("GET", "POST"):
                answer = await http.request(method, path, headers=front.basic)
                assert (answer.status_code, answer.json()["error"]["message"]) == (404, message), path
            stranger = await http.get(path)
            assert (stranger.status_code, stranger.json()["error"]["code"]) == (401, "invalid_api_key")
    assert core.calls == []


_ONCE = "The query parameter 'page_token' may stand once, and hold up to 1024 printable ASCII characters."
QUERIES = {
    f"{CHAT}?api-version=2024-10-21": "This path has no query parameter 'api-version'.",
    f"{CHAT}?a=1&b=2": "This path has no query parameter 'a'.",
    "/v1/models?page_token=1": "This path has no query parameter 'page_token'.",
    "/health?x": "This path has no query parameter 'x'.",
    f"/v1/models?{'n' * 65}=1": "This path has no query parameter.",
    '/v1/models?"=1': "This path has no query parameter.",
    "/api/2.0/gateway/routes/?page_token=1&page_token=2": _ONCE,
    "/api/2.0/gateway/routes?page_token=1&limit=2": "This path has no query parameter 'limit'.",
    f"/api/2.0/gateway/routes?page_token={'1' * 1025}&limit=2": _ONCE,
}


@pytest.mark.parametrize("version", [1, 2])
async def test_a_refused_query_parameter_is_named(front: Front, core: Core, version: int) -> None:
    async with front.http(version) as http:
        for path, message in QUERIES.items():
            method = "POST" if path.startswith(CHAT) else "GET"
            body: dict[str, str] | None = {} if method == "POST" else None
            answer = await http.request(method, path, headers=front.basic, json=body)
            assert (answer.status_code, answer.json()["error"]["message"]) == (400, message), path
        answer = await http.request("GET", "/v1/models", headers=front.basic, json={})
        assert answer.json()["error"]["message"].startswith("The request is malformed.")
    assert core.calls == []


# What is refused, and its line in the log without time and id. "-": no name that was not checked.
LOGGED = [
    ("GET", "/v1/nothing?key=sk-canary", "basic", "404 (gRPC -) GET /v1/nothing from 127.0.0.1 for alice"),
    ("DELETE", CHAT, "basic", "405 (gRPC -) DELETE /v1/chat/completions from 127.0.0.1 for "),
    ("POST", CHAT, "bearer", "415 (gRPC -) POST /v1/chat/completions from 127.0.0.1 for alice"),
    ("GET", "/v1/models?key=sk-canary", "basic", "400 (gRPC -) GET /v1/models from 127.0.0.1 for alice"),
    ("GET", "/v1/models", "wrong", "401 (gRPC -) GET /v1/models from 127.0.0.1 for -"),
    ("POST", "/sidecar.v1.InferenceService/Chat", "wrong", "200 (gRPC 16) POST /sidecar.v1.InferenceService/Chat"),
    ("POST", "/a.B/C", "grpc", "200 (gRPC 12) POST /a.B/C from 127.0.0.1 for "),
]


async def test_what_is_refused_is_one_line_in_the_log_without_credentials(front: Front, core: Core) -> None:
    wrong = {"authorization": "Bearer bm9ib2R5OnNrLWNhbmFyeQ==", "cookie": "sk-canary"}
    credentials = {"basic": front.basic, "bearer": front.bearer, "wrong": wrong, "grpc": front.basic}
    for number, (method, path, who, line) in enumerate(LOGGED):
        request_id = f"refused-{number}-{front.program.name}"
        headers = {**credentials[who], "x-request-id": request_id}
        if "gRPC 1" in line:
            headers |= {"content-type": "application/grpc", "te": "trailers"}
        async with front.http(2) as http:
            await http.request(method, path, headers=headers)

        def lines(request_id: str = request_id) -> list[str]:
            return [each for each in front.logs.splitlines() if "refused " in each and f"[{request_id}]" in each]

        await reached(lambda: bool(lines()), what=f"the line of {method} {path}")
        (found,) = lines()
        assert f"refused {line}" in found
    assert "sk-canary" not in front.logs
    assert "bm9ib2R5OnNrLWNhbmFyeQ==" not in front.logs
    async with front.http() as http:
        assert (await http.get("/v1/models", headers={**front.basic, "x-request-id": "served-0001"})).status_code == 200
        await http.get("/v1/nothing", headers={**front.basic, "x-request-id": "refused-last"})
    await reached(lambda: "[refused-last]" in front.logs, what="the line of what came last")
    assert "[served-0001]" not in front.logs


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


@pytest.mark.needs("curl")
@pytest.mark.parametrize("body_bytes", [60, 12_000])
async def test_a_refusal_reaches_a_curl_that_is_still_sending(front: Front, core: Core, body_bytes: int) -> None:
    """curl 7.88 of Debian 12, by HTTP/2: an answer that comes between head and body, and a reset behind it, is lost there."""
    refused = {CHAT: ("wrong", 401), "/chat/completions": ("right", 404), "/v1/models": ("right", 405)}
    for path, (key, status) in refused.items():
        authorization = front.bearer["authorization"] if key == "right" else "Bearer wrong"
        for _ in range(5):
            curl = await asyncio.create_subprocess_exec(
                *("curl", "-sS", "--http2", "--cacert", str(front.ca), "-w", "%{http_code}", "-o", "/dev/null"),
                *("-H", f"Authorization: {authorization}", "-H", "Content-Type: application/json"),
                *("--data-binary", "x" * body_bytes, front.url + path),
                stdout=asyncio.subprocess.PIPE,
            )
            assert (await curl.communicate())[0] == str(status).encode()
    assert core.calls == []

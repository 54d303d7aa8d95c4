"""What reaches the core of a REST request: the right RPC, the body byte for byte, and only allowed headers."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from google.api.httpbody_pb2 import HttpBody

from tests.front.conftest import Front, start_core, start_front
from tests.front.double import Core

JSON = {"content-type": "application/json"}
CHAT = "/v1/chat/completions"
# Its routes are matched before anything is decoded, so the names of parameters are to be written plainly.
ENVOY_REFUSES = ("?page_t%6Fken=a%20b", "?__proto__=x")


@pytest.mark.parametrize(
    ("method", "path", "rpc"),
    [
        ("POST", "/v1/chat/completions", "ChatCompletions"),
        ("POST", "/v1/completions", "Completions"),
        ("POST", "/v1/embeddings", "Embeddings"),
        ("GET", "/v1/models", "ListModels"),
        ("GET", "/v1/models/chat", "GetModel"),
        ("GET", "/health", "Health"),
        ("POST", "/gateway/mlflow/v1/chat/completions", "ChatCompletions"),
        ("POST", "/gateway/openai/v1/chat/completions", "ChatCompletions"),
        ("POST", "/gateway/openai/v1/embeddings", "Embeddings"),
        ("GET", "/gateway/mlflow/v1/models", "ListModels"),
        ("GET", "/api/2.0/gateway/routes/", "ListMlflowRoutes"),
        ("GET", "/api/2.0/gateway/routes", "ListMlflowRoutes"),
        ("POST", "/api/2.0/gateway/routes/", "CreateMlflowRoute"),
        ("GET", "/api/2.0/gateway/routes/chat", "GetMlflowRoute"),
        ("GET", "/api/2.0/gateway/routes/chat/", "GetMlflowRoute"),
        ("PATCH", "/api/2.0/gateway/routes/chat", "UpdateMlflowRoute"),
        ("DELETE", "/api/2.0/gateway/routes/chat", "DeleteMlflowRoute"),
        ("POST", "/gateway/chat/invocations", "QueryMlflowRoute"),
        ("POST", "/gateway/mlflow/invocations", "QueryMlflowRoute"),
        ("POST", "/gateway/chat/mlflow/invocations", "InvokeMlflow"),
        ("GET", "/api/2.0/endpoints/", "ListMlflowEndpoints"),
        ("GET", "/api/2.0/endpoints/chat", "GetMlflowEndpoint"),
        ("GET", "/api/2.0/endpoints/limits", "GetMlflowEndpoint"),
        ("GET", "/api/3.0/gateway/endpoint/chat", "GetMlflowEndpoint"),
        ("GET", "/api/3.0/gateway/route/chat", "GetMlflowTrafficRoute"),
        ("POST", "/endpoints/chat/invocations", "QueryMlflowEndpoint"),
        ("GET", "/api/2.0/gateway/limits/chat", "GetMlflowLimits"),
        ("GET", "/api/2.0/endpoints/limits/chat", "GetMlflowLimits"),
        ("POST", "/api/2.0/gateway/limits/", "SetMlflowLimits"),
        ("POST", "/api/2.0/endpoints/limits/", "SetMlflowLimits"),
        ("POST", "/openai/deployments/chat/chat/completions", "AzureChatCompletions"),
        ("POST", "/openai/deployments/chat/chat/completions?api-version=2024-10-21", "AzureChatCompletions"),
        ("POST", "/openai/deployments/chat/completions?api-version=2024-10-21", "AzureCompletions"),
        ("POST", "/openai/deployments/chat/embeddings?api-version=2024-10-21", "AzureEmbeddings"),
        ("POST", "/openai/v1/chat/completions?api-version=preview", "ChatCompletions"),
        ("POST", "/openai/v1/completions", "Completions"),
        ("POST", "/openai/v1/embeddings", "Embeddings"),
        ("POST", "/openai/v1/responses?api-version=latest", "CreateResponse"),
        ("POST", "/openai/responses?api-version=2025-03-01-preview", "CreateResponse"),
        ("GET", "/openai/v1/models?api-version=preview&limit=2", "ListModels"),
        ("GET", "/openai/v1/models/chat?api-version=preview", "GetModel"),
        ("GET", "/openai/models?api-version=2024-10-21", "ListModels"),
        ("GET", "/openai/v1/responses/resp_1?api-version=preview", "GetResponse"),
    ],
)
async def test_each_path_is_its_rpc(front: Front, core: Core, method: str, path: str, rpc: str) -> None:
    async with front.http() as http:
        answer = await http.request(method, path, json={} if method in ("POST", "PATCH") else None, headers=front.basic)
    assert (answer.status_code, core.call.rpc) == (200, rpc)


@pytest.mark.parametrize("name", ["chat", "gpt-4o.mini", "a:b@c+d~e_f", "x" * 256])
async def test_a_path_variable_reaches_its_field(front: Front, core: Core, name: str) -> None:
    async with front.http() as http:
        await http.get(f"/v1/models/{name}", headers=front.basic)
    assert core.call.request.id == name


LONG = [
    ("GET", "/v1/models/{}", "GetModel"),
    ("GET", "/api/2.0/gateway/routes/{}", "GetMlflowRoute"),
    ("GET", "/api/2.0/gateway/routes/{}/", "GetMlflowRoute"),
    ("PATCH", "/api/2.0/gateway/routes/{}", "UpdateMlflowRoute"),
    ("DELETE", "/api/2.0/gateway/routes/{}", "DeleteMlflowRoute"),
    ("POST", "/gateway/{}/invocations", "QueryMlflowRoute"),
    ("POST", "/gateway/{}/mlflow/invocations", "InvokeMlflow"),
    ("GET", "/api/2.0/endpoints/{}", "GetMlflowEndpoint"),
    ("GET", "/api/3.0/gateway/endpoint/{}", "GetMlflowEndpoint"),
    ("GET", "/api/3.0/gateway/route/{}", "GetMlflowTrafficRoute"),
    ("POST", "/endpoints/{}/invocations", "QueryMlflowEndpoint"),
    ("GET", "/api/2.0/gateway/limits/{}", "GetMlflowLimits"),
    ("GET", "/api/2.0/endpoints/limits/{}", "GetMlflowLimits"),
    ("POST", "/openai/deployments/{}/chat/completions?api-version=1", "AzureChatCompletions"),
    ("POST", "/openai/deployments/{}/embeddings?api-version=1", "AzureEmbeddings"),
    ("GET", "/openai/v1/models/{}?api-version=1", "GetModel"),
]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("openai/gpt-4o", "openai%2Fgpt-4o"),
        ("openai/gpt-4o", "openai%2fgpt%2D4o"),
        ("llama3:8b", "llama3:8b"),
        ("llama3:8b", "llama3%3A8b"),
        ("a/b/c:d@e", "a/b%2Fc:d%40e"),
        ("invocations/mlflow/x", "invocations/mlflow/x"),
        ("openai/*", "openai/*"),
        ("openai/*", "openai%2F%2A"),
    ],
)
async def test_a_name_with_slashes_and_colons_reaches_its_field_on_every_path(
    front: Front, core: Core, name: str, path: str
) -> None:
    async with front.http() as http:
        for method, template, rpc in LONG:
            content: object = {} if method in ("POST", "PATCH") else None
            answer = await http.request(method, template.format(path), headers=front.basic, json=content)
            call = core.calls[-1]
            field = call.request.DESCRIPTOR.fields_by_number[1].name
            found = (answer.status_code, call.rpc, getattr(call.request, field), len(core.calls))
            assert found == (200, rpc, name, LONG.index((method, template, rpc)) + 1), template


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_arrives_beside_the_name_in_the_path(
    front: Front, core: Core, chunked: bool, version: int
) -> None:
    body = b'{"text": "' + bytes(range(0x20, 0x7F)).replace(b'"', b"") * 3000 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    async with front.http(version) as http:
        content = chunks() if chunked else body
        await http.post("/gateway/a.b-c/invocations", content=content, headers={**front.basic, **JSON})
    request = core.call.request
    assert (request.name, request.body.data, request.body.content_type) == ("a.b-c", body, "application/json")


@pytest.mark.parametrize(
    ("query", "token"),
    [
        ("", ""),
        ("?", ""),
        ("?page_token=", ""),
        ("?page_token=eyJpbmRleCI6IDMwMDB9", "eyJpbmRleCI6IDMwMDB9"),
        ("?page_token=eyJpbmRleCI6IDF9%3D%3d", "eyJpbmRleCI6IDF9=="),
        ("?page_token=a%26page_token%3Db%2Fc", "a&page_token=b/c"),
        ("?page_t%6Fken=a%20b", "a b"),
        ("?page_token=$uri$rpc", "$uri$rpc"),
        ("?page_token=" + "x" * 1024, "x" * 1024),
        ("?__proto__=x", ""),  # no key of JavaScript's: it reaches nothing
    ],
)
async def test_a_query_parameter_reaches_its_field_decoded(front: Front, core: Core, query: str, token: str) -> None:
    async with front.http() as http:
        answer = await http.get(f"/api/2.0/gateway/routes/{query}", headers=front.basic)
    if front.program.name == "envoy" and query in ENVOY_REFUSES:
        assert (answer.status_code, core.calls) == (400, [])
        return
    assert (answer.status_code, core.call.request.page_token) == (200, token)


@pytest.mark.parametrize(
    "query",
    [
        "page_token=a&page_token=b",
        "page_token=a&other=b",
        "other=b",
        "PAGE_TOKEN=a",
        "page_token=a%00b",
        "page_token=a%0A",
        "page_token=a%0d%0aX-Sidecar-User:%20bob",
        "page_token=%ff%fe",
        "page_token=caf%C3%A9",
        "constructor=a",
        "rpc=Health",
    ],
)
async def test_a_query_that_no_field_takes_is_refused_before_the_core(front: Front, core: Core, query: str) -> None:
    async with front.http() as http:
        answer = await http.get(f"/api/2.0/gateway/routes/?{query}", headers=front.basic)
    assert (answer.status_code, core.calls) == (400, [])


@pytest.mark.parametrize(
    "query",
    [
        "api-version=1&api-version=2",
        "api-version=1&limit=1&api-version=2",
        "limit=1&limit=2&api-version=1",
        "api-version=1&other=b",
        "api-version=%00",
        "api_version=1",
    ],
)
async def test_a_parameter_that_nobody_reads_is_checked_like_those_that_are_read(
    front: Front, core: Core, query: str
) -> None:
    async with front.http() as http:
        for path in ("/openai/v1/models", "/openai/v1/models/a"):
            assert (await http.get(f"{path}?{query}", headers=front.basic)).status_code == 400
        answer = await http.get("/v1/models?api-version=1", headers=front.basic)
    assert (answer.status_code, core.calls) == (400, [])


async def test_a_query_value_is_bounded(front: Front, core: Core) -> None:
    """By Nginx itself at 1,024 characters; behind Envoy by the headers' limit, and the core knows its own tokens."""
    envoy = front.program.name == "envoy"
    async with front.http() as http:
        for size, status in ((1025, 200 if envoy else 400), (17_000, 431 if envoy else 414)):
            answer = await http.get(f"/api/2.0/gateway/routes/?page_token={'x' * size}", headers=front.basic)
            assert (size, answer.status_code) == (size, status)


async def test_a_route_may_have_the_name_that_is_a_path_of_another_method(front: Front, core: Core) -> None:
    async with front.http() as http:
        await http.get("/api/2.0/endpoints/limits", headers=front.basic)
    assert (core.call.rpc, core.call.request.name) == ("GetMlflowEndpoint", "limits")


async def test_a_query_cannot_name_another_route(front: Front, core: Core) -> None:
    async with front.http() as http:
        posted = await http.post("/gateway/a/invocations?name=b", json={}, headers=front.basic)
        got = await http.get("/api/2.0/gateway/routes/a?name=b", headers=front.basic)
    assert (posted.status_code, got.status_code, core.calls) == (400, 400, [])


def _bodies() -> Iterator[bytes]:
    for size in (0, 1, 127, 128, 16_383, 16_384, 100_000, 3_000_000):
        yield random.Random(size).randbytes(size)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("body", list(_bodies()), ids=len)
async def test_a_body_arrives_byte_for_byte(front: Front, core: Core, body: bytes, chunked: bool, version: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 70_001):
            yield body[start : start + 70_001]

    content = chunks() if chunked else body
    kind = "application/json; charset=utf-8"
    async with front.http(version) as http:
        answer = await http.post(CHAT, content=content, headers={**front.basic, "content-type": kind})
    assert answer.status_code == 200
    assert isinstance(core.call.request, HttpBody)
    assert core.call.request.data == body
    assert core.call.request.content_type == kind


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_larger_than_the_buffer_goes_through_a_file(state: Path, chunked: bool) -> None:
    front = start_front(state, body_buffer_bytes=65_536)
    core = await start_core(front)
    body = random.Random(1).randbytes(2_000_000)

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    try:
        async with front.http() as http:
            content = chunks() if chunked else body
            answer = await http.post(CHAT, content=content, headers={**front.basic, **JSON})
        assert (answer.status_code, core.call.request.data == body) == (200, True)
    finally:
        await core.stop()
        front.stop()


async def test_only_allowed_headers_reach_the_core(front: Front, core: Core) -> None:
    passed = {
        "accept": "application/json",
        "user-agent": "OpenAI/Python 3.0",
        "x-request-id": "req-12345678",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "tracestate": "vendor=1",
    }
    dropped = {
        "x-sidecar-user": "mallory",
        "X-Sidecar-Admin": "1",
        "x_sidecar_user": "mallory",
        "x-front-error": "500",
        "cookie": "a=b",
        "grpc-timeout": "1n",
        "grpc-encoding": "gzip",
        "x-forwarded-for": "1.2.3.4",
        "te": "trailers",
        "x-http-status": "200",
    }
    async with front.http() as http:
        answer = await http.post(CHAT, json={}, headers={**front.basic, **passed, **dropped})
    assert answer.status_code == 200
    seen = dict(core.call.metadata)
    assert seen == {**passed, "x-sidecar-user": "alice"}
    assert core.call.time_left_s is None
    assert answer.headers["x-request-id"] == "req-12345678"


async def test_the_core_knows_the_front_by_its_socket(front: Front, core: Core) -> None:
    async with front.http() as http:
        await http.get("/health")
    assert core.call.transport == [b"local"]


async def test_a_request_id_is_made_where_the_client_sends_none_or_a_bad_one(front: Front, core: Core) -> None:
    async with front.http() as http:
        for headers in ({}, {"x-request-id": "a b"}, {"x-request-id": "x" * 65}):
            answer = await http.get("/v1/models", headers={**front.basic, **headers})
            made = dict(core.calls[-1].metadata)["x-request-id"]
            assert re.fullmatch("[A-Za-z0-9._-]{32,36}", made)
            assert made not in headers.values()
            assert answer.headers["x-request-id"] == made


async def test_logs_hold_no_query_and_no_credentials(front: Front, core: Core) -> None:
    async with front.http() as http:
        await http.get("/v1/models?planted-query=1", headers=front.basic)
        await http.get("/v1/models", auth=("planted-name", "planted-password"))
        await http.get("/v1/models", headers={"authorization": "Bearer planted-key"})
        await http.get("/v1/models", headers={**front.basic, "x-request-id": "seen-in-the-log"})
    for _ in range(500):  # written when the request ends, which may be after its last byte
        if "seen-in-the-log" in front.logs:
            break
        await asyncio.sleep(0.01)
    line = next(line for line in front.logs.splitlines() if "seen-in-the-log" in line)
    assert " alice [" in line
    assert "planted-query" not in front.logs
    assert "planted-password" not in front.logs
    assert "planted-key" not in front.logs
    assert front.password not in front.logs
    assert json.dumps(front.basic["authorization"])[7:-1] not in front.logs


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "zstd", "GZip"])
async def test_a_compressed_body_reaches_the_core_as_it_came_with_its_coding(
    front: Front, core: Core, coding: str, version: int
) -> None:
    body = gzip.compress(random.Random(7).randbytes(20_000)) + bytes(range(256))

    async def chunks() -> AsyncIterator[bytes]:
        yield body[:5]
        yield body[5:]

    for content in (body, chunks()):
        async with front.http(version) as http:
            headers = {**front.basic, **JSON, "content-encoding": coding}
            assert (await http.post(CHAT, content=content, headers=headers)).status_code == 200
        assert core.calls[-1].request.data == body
        assert dict(core.calls[-1].metadata)["content-encoding"] == coding

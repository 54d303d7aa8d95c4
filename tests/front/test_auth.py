"""Who comes in: no path but /health without credentials, Basic and Bearer alike, at once after a change."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
import time
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from sidecar.identity.users import add_user, api_key, remove_user
from sidecar.v1 import inference_pb2, inference_pb2_grpc
from tests.front.conftest import Front, hang_up, start_core, start_front
from tests.front.double import Core

PATHS = [
    "/v1/chat/completions",
    "/v1/models",
    "/v1/models/chat",
    "/v1/embeddings",
    "/",
    "/nothing",
    "/HEALTH",
    "/health/",
    "//health",
    "/health%2f",
    "/health%00x",
    "/v1//models",
    "//v1/models",
    "/v1/./models",
    "/health/../v1/models",
    "/%2e/v1/models",
    "/v1/%6dodels",
    "/v1/models%2fchat",
    "/V1/Models",
    "/v1/models%0a",
    "/./error",
    "/%2e/error",
    "/error",
    "/none",
    "/w0.sock",
    "/inner.sock",
    "/@rest_get",
    "/sidecar.v1.RestService/ListModels",
    "/sidecar.v1.InferenceService/Chat",
    "/sidecar.v1.InferenceService/../v1/models",
    "/unknown.Service/Method",
]


def _wrong(front: Front) -> dict[str, dict[str, str]]:
    pair = f"{front.user}:{front.password}"

    def basic(text: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}

    return {
        "nothing": {},
        "wrong password": basic(f"{front.user}:wrong"),
        "empty password": basic(f"{front.user}:"),
        "wrong user": basic(f"bob:{front.password}"),
        "no colon": basic(front.user),
        "not base64": {"authorization": "Basic ***"},
        "hash as password": basic(front.users_file.read_text().strip()),
        "wrong key": {"authorization": f"Bearer {api_key(front.user, 'wrong')}"},
        "password as key": {"authorization": f"Bearer {front.password}"},
        "key of two lines": {"authorization": f"Bearer {api_key(front.user, front.password + chr(10))}"},
        "hash as key": {"authorization": f"Bearer {base64.b64encode(front.users_file.read_bytes()).decode()}"},
        "empty key": {"authorization": "Bearer"},
        "pair as key": {"authorization": f"Bearer {pair}"},
        "other scheme": {"authorization": f"Digest {api_key(front.user, front.password)}"},
        "no scheme": {"authorization": api_key(front.user, front.password)},
        "key as basic of a basic": basic(api_key(front.user, front.password)),
    }


async def _raw(front: Front, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and head of a request whose path no client library has touched."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", front.port, ssl=front.tls(), server_hostname="localhost"
    )
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    size = 0 if method == "HEAD" else int(re.search(r"content-length: (\d+)", head.lower() + "content-length: 0")[1])  # type: ignore[index]
    head += (await reader.readexactly(size)).decode()
    await hang_up(writer)
    return int(head.split(" ", 2)[1]), head


async def _answered(front: Front, http: httpx.AsyncClient, status: int, **how: Any) -> bool:
    """Whether a call with these credentials gets this status: from Nginx at once, from Envoy within 5 s."""
    front.take_users()
    deadline_s = time.monotonic() + (0 if front.program.users_by_itself else 5)
    while (answer := (await http.get("/v1/models", **how)).status_code) != status and time.monotonic() < deadline_s:
        await asyncio.sleep(0.01)
    return answer == status


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", PATHS)
async def test_without_credentials_every_path_is_401(front: Front, core: Core, path: str, method: str) -> None:
    status, head = await _raw(front, method, path, {})
    if "%00" in path:
        assert status == 400  # nginx refuses a NUL before it looks at anything
        return
    assert status == 401
    assert 'www-authenticate: basic realm="sidecar"' in head.lower()
    assert method == "HEAD" or '"type":"authentication_error"' in head
    assert core.calls == []


async def test_health_is_open_and_believes_no_credentials(front: Front, core: Core) -> None:
    for headers in ({}, {"authorization": "Basic " + base64.b64encode(b"alice:wrong").decode()}):
        async with front.http() as http:
            answer = await http.get("/health", headers=headers)
        assert answer.status_code == 200
        assert "x-sidecar-user" not in dict(core.calls[-1].metadata)


@pytest.mark.parametrize("path", ["/v1/models", "/nothing"])
async def test_wrong_credentials_are_401(front: Front, core: Core, path: str) -> None:
    async with front.http() as http:
        for what, headers in _wrong(front).items():
            answer = await http.get(path, headers=headers)
            assert (what, answer.status_code) == (what, 401)
            assert answer.headers["www-authenticate"] == 'Basic realm="sidecar"'
            assert answer.json()["error"]["code"] == "invalid_api_key"
    assert core.calls == []


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
async def test_right_credentials_are_that_user(front: Front, core: Core, scheme: str, version: int) -> None:
    headers = front.basic if scheme == "basic" else front.bearer
    async with front.http(version) as http:
        assert (await http.get("/v1/models", headers=headers)).status_code == 200
        assert (await http.get("/nothing", headers=headers)).status_code == 404
        lower = {"authorization": headers["authorization"].replace("B", "b", 1)}
        assert (await http.get("/v1/models", headers=lower)).status_code == 200
    assert [dict(call.metadata)["x-sidecar-user"] for call in core.calls] == ["alice", "alice"]
    assert all("authorization" not in dict(call.metadata) for call in core.calls)


def _keys(front: Front) -> list[tuple[dict[str, str], bool]]:
    """Headers, and whether they let a caller in: the first of the three that is there counts, and no other."""
    good, bad = api_key(front.user, front.password), "sk-of-another-place"
    return [
        ({"x-api-key": good}, True),
        ({"api-key": good}, True),
        ({"x-api-key": bad}, False),
        ({"api-key": bad}, False),
        ({"x-api-key": good, "api-key": good}, True),
        ({"x-api-key": good, "api-key": bad}, True),
        ({"x-api-key": bad, "api-key": good}, False),
        ({"authorization": f"Bearer {good}", "api-key": bad}, True),
        ({"authorization": f"Bearer {bad}", "api-key": good}, False),
        ({"authorization": f"Bearer {good}", "x-api-key": bad, "api-key": bad}, True),
        ({**front.basic, "x-api-key": bad}, True),
        ({"authorization": "Basic YWxpY2U6d3Jvbmc=", "x-api-key": good}, False),
    ]


async def test_a_key_in_a_header_of_its_own_counts_on_every_path_and_the_first_header_decides(
    front: Front, core: Core
) -> None:
    paths = ("/v1/models", "/v1/models/chat", "/openai/v1/models", "/api/2.0/endpoints/", "/docs")
    async with front.http() as http:
        for headers, right in _keys(front):
            for path in paths:
                answer = await http.get(path, headers=headers)
                assert answer.status_code == (200 if right else 401), (headers, path)
                seen = {name for name, _ in core.calls[-1].metadata} if right else set()
                assert not {"x-api-key", "api-key", "authorization"} & seen


async def test_a_key_in_metadata_of_its_own_counts_for_grpc_and_the_first_decides(front: Front, core: Core) -> None:
    async with front.channel() as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        for headers, right in _keys(front):
            call = stub.Chat(inference_pb2.ChatRequest(), metadata=tuple(headers.items()), timeout=10)
            code = await call.code()
            assert code == (grpc.StatusCode.OK if right else grpc.StatusCode.UNAUTHENTICATED), headers
            if right:
                seen = dict(core.calls[-1].metadata)
                assert seen["x-sidecar-user"] == front.user
                assert not {"x-api-key", "api-key", "authorization"} & seen.keys()


async def test_users_come_and_go_without_a_restart(front: Front, core: Core) -> None:
    async with front.http() as http:
        old = add_user(front.users_file, "carol")
        key = {"authorization": f"Bearer {api_key('carol', old)}"}
        assert await _answered(front, http, 200, auth=("carol", old))
        assert await _answered(front, http, 200, headers=key)
        new = add_user(front.users_file, "carol", replace=True)
        assert await _answered(front, http, 401, auth=("carol", old))
        assert await _answered(front, http, 401, headers=key)
        assert await _answered(front, http, 200, auth=("carol", new))
        remove_user(front.users_file, "carol")
        assert await _answered(front, http, 401, auth=("carol", new))
        assert await _answered(front, http, 200, headers=front.basic)


async def test_a_stranger_is_refused_before_his_body_is_read(front: Front) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", front.port, ssl=front.tls(), server_hostname="localhost"
    )
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 30000000\r\n\r\n{{".encode())
    began_s = time.monotonic()
    line = await asyncio.wait_for(reader.readline(), timeout=5)
    assert line.split()[1] == b"401"
    assert time.monotonic() - began_s < 1
    await hang_up(writer)


async def test_plain_http_on_the_tls_port_is_a_json_400(front: Front) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=5) as plain:
        plain.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: plain.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"type":"invalid_request_error"' in answer


@pytest.mark.parametrize("path", PATHS)
async def test_with_credentials_no_path_is_401(front: Front, core: Core, path: str) -> None:
    """The control of the test above: it is the credentials that make the difference."""
    for headers in (front.basic, front.bearer):
        status, _ = await _raw(front, "GET", path, headers)
        assert status != 401


async def test_a_users_file_edited_by_hand_without_a_last_newline_works_both_ways(front: Front, core: Core) -> None:
    before = front.users_file.read_text()
    try:
        front.users_file.write_text(before.rstrip("\n"))
        async with front.http() as http:
            for headers in (front.basic, front.bearer):
                assert await _answered(front, http, 200, headers=headers)
    finally:
        front.users_file.write_text(before)
        front.take_users()


async def test_a_key_that_is_only_part_of_a_line_is_refused(front: Front, core: Core) -> None:
    password = add_user(front.users_file, "xdave")
    try:
        async with front.http() as http:
            whole = {"authorization": f"Bearer {api_key('xdave', password)}"}
            part = {"authorization": f"Bearer {api_key('dave', password)}"}
            assert await _answered(front, http, 200, headers=whole)
            assert await _answered(front, http, 401, headers=part)
    finally:
        remove_user(front.users_file, "xdave")
        front.take_users()


async def test_a_vendors_nginx_without_headers_more_takes_keys_too(state: Path) -> None:
    front = start_front(state, headers_more=False)
    try:
        core = await start_core(front)
        async with front.http() as http:
            for headers in (front.bearer, {"x-api-key": api_key(front.user, front.password)}, front.basic):
                assert (await http.get("/v1/models", headers=headers)).status_code == 200
                assert dict(core.calls[-1].metadata)["x-sidecar-user"] == front.user
            for headers in _wrong(front).values():
                assert (await http.get("/v1/models", headers=headers)).status_code == 401
        await core.stop()
    finally:
        front.stop()


@pytest.mark.parametrize(
    "key", ["hf_" + "aB3" * 11, "AIzaSyD-" + "x9_" * 10, "Zk9" * 16, base64.b64encode(b"\xff\xfe:x").decode()]
)
async def test_a_key_of_somebody_elses_is_refused_and_no_piece_of_it_is_logged(
    front: Front, core: Core, key: str
) -> None:
    before = front.logs.count("was not found")
    async with front.http() as http:
        for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"api-key": key}):
            assert (await http.get("/v1/models", headers=headers)).status_code == 401
    assert front.logs.count("was not found") == before
    assert key not in front.logs


def _sha(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


# Lines as people write them, with the user's name and password; one that neither front takes has no user.
BY_HAND = [
    ("crlf:{}\r\n", "crlf", "pw-1"),
    ("comment:{}:of the search team\n", "comment", "pw-2"),
    ("both:{}:of the search team\r\n", "both", "pw-3"),
    ("mail.one+tag@example.com:{}\n", "mail.one+tag@example.com", "pw-4"),
    ("with blank:{}\n", "with blank", "pw-5"),
    ("twice:{}\ntwice:" + _sha("second") + "\n", "twice", "pw-6"),
    ("colon:{}\n", "colon", "a:b"),
    ("last:{}", "last", "pw-7"),
]
# Refused by Basic and by Bearer, through both.
NO_LINES = [
    ("cut:{}\n", "cut", "pw-8", 20),
    ("more:{}x\n", "more", "pw-9", None),
    ("twice2:" + _sha("first") + "\ntwice2:{}\n", "twice2", "pw-10", None),
]


async def test_lines_written_by_hand_are_read_alike_by_both_fronts_for_both_schemes(front: Front, core: Core) -> None:
    before = front.users_file.read_bytes()
    text = "# people of the search team\n\n"
    text += "".join(line.replace("{}", _sha(password)[:cut]) for line, _, password, cut in NO_LINES)
    text += "".join(line.replace("{}", _sha(password)) for line, _, password in BY_HAND)
    try:
        front.users_file.write_bytes(before + text.encode())
        async with front.http() as http:
            assert await _answered(front, http, 200, auth=("crlf", "pw-1"))
            for status, users in ((200, [row[1:3] for row in BY_HAND]), (401, [row[1:3] for row in NO_LINES])):
                for user, password in users:
                    for scheme in ("Basic", "Bearer"):
                        headers = {"authorization": f"{scheme} {api_key(user, password)}"}
                        answer = await http.get("/v1/models", headers=headers)
                        assert (user, scheme, answer.status_code) == (user, scheme, status)
                        if status == 200:
                            assert dict(core.calls[-1].metadata)["x-sidecar-user"] == user
    finally:
        front.users_file.write_bytes(before)
        front.take_users()

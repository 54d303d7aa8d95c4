"""What the core answers is what the client gets: status, headers, bytes, and when."""

from __future__ import annotations

import random
import time

import grpc
import httpx
import pytest

from tests.front.conftest import Front
from tests.front.double import PIECE_BYTES_MAX, Core, Script

CHAT = "/v1/chat/completions"
BODY = {"model": "chat"}
# An event must leave while the next one is still to come: half of the gap between two.
GAP_S = 0.4


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("status", [200, 201, 302, 400, 401, 404, 424, 429, 500, 502, 503, 504, 599])
async def test_any_status_of_the_core_is_copied_with_its_body(
    front: Front, core: Core, status: int, version: int
) -> None:
    core.script = Script(status=status, pieces=[b'{"a":', b"1}"])
    async with front.http(version) as http:
        answer = await http.post(CHAT, json=BODY, headers=front.basic)
    assert (answer.status_code, answer.content) == (status, b'{"a":1}')
    assert answer.headers["content-type"] == "application/json"
    assert answer.http_version == ("HTTP/1.1" if version == 1 else "HTTP/2")


def _cut(body: bytes, seed: int) -> list[bytes]:
    """The same bytes in random pieces, empty ones among them."""
    chance = random.Random(seed)
    pieces = []
    while body:
        size = chance.choice([0, 1, 2, 127, 128, 1000, 16384, PIECE_BYTES_MAX])
        pieces.append(body[:size])
        body = body[size:]
    return [*pieces, b""]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 256, 65_536, 400_000])
async def test_every_byte_arrives_however_the_core_cuts_the_body(
    front: Front, core: Core, size: int, version: int
) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = random.Random(size).randbytes(size) if size > 256 else body[:size]
    core.script = Script(content_type="application/octet-stream", pieces=_cut(body, size))
    async with front.http(version) as http:
        answer = await http.post(CHAT, json=BODY, headers=front.basic)
    assert answer.content == body
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_an_answer_without_any_message_is_an_empty_body(front: Front, core: Core) -> None:
    core.script = Script(status=204, pieces=[])
    async with front.http() as http:
        answer = await http.post(CHAT, json=BODY, headers=front.basic)
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("version", [1, 2])
async def test_each_event_arrives_before_the_next_is_sent(front: Front, core: Core, version: int) -> None:
    events = [b"data: %d\n\n" % number for number in range(4)]
    core.script = Script(content_type="text/event-stream", pieces=events, gap_s=GAP_S)
    arrived: list[tuple[float, bytes]] = []
    async with (
        front.http(version) as http,
        http.stream("POST", CHAT, json=BODY, headers={**front.basic, "accept-encoding": "gzip"}) as answer,
    ):
        arrived = [(time.monotonic(), piece) async for piece in answer.aiter_raw()]
    assert [piece for _, piece in arrived] == events
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in answer.headers
    for sent_s, (arrived_s, _) in zip(core.call.sent_s, arrived, strict=True):
        assert arrived_s - sent_s < GAP_S / 2


async def test_only_allowed_response_headers_pass(front: Front, core: Core) -> None:
    passed = {
        "retry-after": "7",
        "x-should-retry": "false",
        "x-ratelimit-remaining-tokens": "12",
        "x-sidecar-upstream": "openai",
        "x-request-id": "from-the-core",
    }
    core.script = Script(status=429, headers=(*passed.items(), ("x-internal", "secret"), ("x-http-allow", "GET")))
    async with front.http() as http:
        answer = await http.post(CHAT, json=BODY, headers=front.basic)
    assert {name: answer.headers.get_list(name) for name in passed} == {k: [v] for k, v in passed.items()}
    assert answer.headers["allow"] == "GET"
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    own = {
        "server",
        "date",
        "content-type",
        "transfer-encoding",
        "connection",
        "allow",
        "strict-transport-security",
        "x-content-type-options",
    }
    assert set(answer.headers) <= set(passed) | own


FAILURES = {
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 503,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.UNIMPLEMENTED: 500,
}


@pytest.mark.parametrize("code", FAILURES, ids=lambda code: code.name)
async def test_a_core_that_fails_is_a_json_error_that_hides_its_text(
    front: Front, core: Core, code: grpc.StatusCode
) -> None:
    core.script = Script(pieces=[], abort=code, abort_text="KeyError: planted-secret")
    async with front.http() as http:
        answer = await http.post(CHAT, json=BODY, headers=front.basic)
    assert answer.status_code == FAILURES[code]
    assert answer.json()["error"]["type"] == "api_error"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert "planted-secret" not in str(answer.headers) + answer.text
    assert answer.headers.get("retry-after") == ("1" if FAILURES[code] == 503 else None)
    assert "planted-secret" in front.logs  # the operator sees it


async def test_a_core_that_says_no_status_is_a_bad_gateway(front: Front, core: Core) -> None:
    core.script = Script(status=None, pieces=[b"not shown"])
    async with front.http() as http:
        answer = await http.post(CHAT, json=BODY, headers=front.basic)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "core_failed")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_a_core_that_fails_half_way_cuts_the_connection(
    front: Front, core: Core, kind: str, version: int
) -> None:
    body = [b"data: 1\n\n"] if kind == "text/event-stream" else [b"x" * PIECE_BYTES_MAX] * 20
    core.script = Script(content_type=kind, pieces=body, abort=grpc.StatusCode.INTERNAL)
    async with front.http(version) as http:
        if (
            front.program.name == "envoy"
        ):  # it has no way to cut after the headers: a stream without [DONE], half of a JSON
            assert (await http.post(CHAT, json=BODY, headers=front.basic)).content == b"".join(body)
            return
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(CHAT, json=BODY, headers=front.basic)


async def test_a_short_answer_that_breaks_off_is_never_whole(front: Front, core: Core) -> None:
    core.script = Script(pieces=[b'{"id":'], abort=grpc.StatusCode.INTERNAL)
    async with front.http() as http:
        if front.program.name == "envoy":  # it cannot cut: the body ends early
            answer = await http.post(CHAT, json=BODY, headers=front.basic)
            assert (answer.status_code, answer.content) == (200, b'{"id":')
            return
        with pytest.raises(httpx.RemoteProtocolError):
            await http.post(CHAT, json=BODY, headers=front.basic)


async def test_a_dead_core_is_503_and_may_be_asked_again(front: Front) -> None:
    async with front.http() as http:
        answers = [await http.post(CHAT, json=BODY, headers=front.basic), await http.get("/health")]
    for answer in answers:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "core_unavailable")
        assert answer.headers["retry-after"] == "1"


async def test_head_is_get_without_the_body(front: Front, core: Core) -> None:
    core.script = Script(pieces=[b'{"object":"list"}'])
    async with front.http() as http:
        answer = await http.head("/v1/models", headers=front.basic)
    assert (answer.status_code, answer.content) == (200, b"")
    assert core.call.rpc == "ListModels"

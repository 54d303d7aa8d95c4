"""Every failure that a REST caller can meet: OpenAI's JSON whoever makes it, the right status, and the request's id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from sidecar.domain.sizes import MIB
from sidecar.domain.status import STATUS_ROWS
from tests.processes import free_port
from tests.provider import End, Provider, Reply, error_reply, json_reply
from tests.provider.reply import Script
from tests.stack.stack import Stack, config_for, route

pytestmark = pytest.mark.slow
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "Hi"}]}
JSON = {"content-type": "application/json"}
REQUEST_ID = "abc-123.DEF_456"
PATIENCE = "timeouts: {connect: 1s, first_output: 500ms, idle: 500ms, total: 2s}"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[Stack]:
    """With a route that waits half a second, and one whose provider is not there."""
    config = config_for(simulator, route("hasty", "chat", simulator, extra=PATIENCE))
    gone = f"http://127.0.0.1:{free_port()}/v1"
    config += route("gone", "chat", simulator).replace(simulator.base_url, gone)
    with Stack(tmp_path_factory.mktemp("stack"), config) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Case:
    """A request and what it must be answered. `script` is what the provider does; `key` None sends no credential."""

    status: int
    code: str
    type: str = "invalid_request_error"
    method: str = "POST"
    path: str = "/v1/chat/completions"
    body: Any = field(default_factory=lambda: CHAT)
    headers: dict[str, str] = field(default_factory=lambda: JSON)
    key: str | None = ""
    script: Script | None = None
    answered: dict[str, str] = field(default_factory=dict)  # response headers


def provider_says(status: int, **named: Any) -> Script:
    return lambda call: error_reply(call, status, f"the provider says {status}", **named)


# The front's default.
BODY_BYTES_MAX = 32 * MIB
TOO_BIG = b'{"x": "' + b"x" * BODY_BYTES_MAX + b'"}'
LARGE = {f"x-large-{number}": "x" * 6_000 for number in range(4)}
LATER = {"retry-after": "70"}
NO_RETRY = {"x-should-retry": "false"}
# What the front answers, without the core.
FRONT: dict[str, Case] = {
    "401 without a credential": Case(401, "invalid_api_key", "authentication_error", key=None),
    "401 with a wrong key": Case(401, "invalid_api_key", "authentication_error", key="wrong"),
    "401 at an unknown path": Case(401, "invalid_api_key", "authentication_error", path="/nowhere", key=None),
    "404 path": Case(404, "unknown_url", path="/v1/nowhere"),
    "404 doubled slashes": Case(404, "unknown_url", path="/v1//chat/completions"),
    "404 the error page itself": Case(404, "unknown_url", path="/./error"),
    "405 GET": Case(405, "method_not_allowed", method="GET", body=None, answered={"allow": "POST"}),
    "405 DELETE": Case(405, "method_not_allowed", method="DELETE", path="/v1/models", answered={"allow": "GET, HEAD"}),
    "413": Case(413, "request_too_large", body=TOO_BIG),
    "415 plain text": Case(415, "unsupported_media_type", headers={"content-type": "text/plain"}),
    "415 no type": Case(415, "unsupported_media_type", headers={}, body=b"{}"),
    "415 brotli": Case(
        415,
        "unsupported_media_type",
        headers={**JSON, "content-encoding": "br"},
        answered={"accept-encoding": "gzip, zstd"},
    ),
    "431": Case(431, "headers_too_large", headers={**JSON, **LARGE}),
    "400 query": Case(400, "bad_request", path="/v1/chat/completions?model=chat"),
    "400 a GET with a body": Case(400, "bad_request", method="GET", path="/v1/models"),
}
# What the core refuses before any provider is asked.
CORE: dict[str, Case] = {
    "400 no JSON": Case(400, "invalid_request", body=b'{"model": "chat"'),
    "400 no object": Case(400, "invalid_request", body=b"[]"),
    "400 no model": Case(400, "invalid_request", body={"messages": []}),
    "400 a key twice": Case(400, "invalid_request", body=b'{"model": "chat", "model": "chat", "messages": []}'),
    "400 another task": Case(400, "invalid_request", body={**CHAT, "model": "embeddings"}),
    "404 route": Case(404, "model_not_found", body={**CHAT, "model": "nowhere"}),
    "404 model": Case(404, "model_not_found", method="GET", path="/v1/models/nowhere", body=None),
}
# What comes of a provider's failure.
PROVIDER: dict[str, Case] = {
    "400": Case(400, "invalid_request", script=provider_says(400)),
    "400 by its own word": Case(400, "too_wise", script=provider_says(400, code="too_wise")),
    "400 context": Case(400, "context_length_exceeded", script=provider_says(400, code="context_length_exceeded")),
    "401": Case(424, "upstream_rejected_credentials", "api_error", script=provider_says(401), answered=NO_RETRY),
    "404": Case(424, "upstream_not_found", "api_error", script=provider_says(404), answered=NO_RETRY),
    "413": Case(413, "request_too_large", script=provider_says(413)),
    "429": Case(
        429,
        "rate_limit_exceeded",
        "rate_limit_error",
        script=provider_says(429, headers=(("retry-after", "70"),)),
        answered=LATER,
    ),
    "429 quota": Case(
        429,
        "insufficient_quota",
        "insufficient_quota",
        script=provider_says(429, code="insufficient_quota"),
        answered=NO_RETRY,
    ),
    "500": Case(503, "upstream_unavailable", "api_error", script=provider_says(500)),
    "503": Case(
        503,
        "upstream_unavailable",
        "api_error",
        script=provider_says(503, headers=(("retry-after", "70"),)),
        answered=LATER,
    ),
    "not there": Case(503, "upstream_unavailable", "api_error", body={**CHAT, "model": "gone"}),
    "another format": Case(
        502, "upstream_protocol", "api_error", script=lambda call: json_reply([]), answered=NO_RETRY
    ),
    "a redirect": Case(
        502,
        "upstream_protocol",
        "api_error",
        script=lambda call: Reply(status=302, headers=(("location", "http://127.0.0.1:9/"),)),
        answered=NO_RETRY,
    ),
    "silence": Case(
        504,
        "upstream_timeout",
        "api_error",
        body={**CHAT, "model": "hasty"},
        script=lambda call: Reply(head=False, end=End.STALL),
        answered=NO_RETRY,
    ),
}
# Refused before all headers are read, the id among them.
WITHOUT_ID = {"431"}
# httpx does not look for an early answer while HTTP/2's flow control holds its body back (curl does and gets it); of too
# many headers Nginx makes an error of the whole HTTP/2 connection.
HTTP1_ONLY = {"413", "431"}
CASES = {**FRONT, **CORE, **{f"provider: {name}": case for name, case in PROVIDER.items()}}


@pytest.mark.parametrize(
    ("name", "http2"),
    [
        pytest.param(name, http2, id=f"{name}, {'h2' if http2 else 'h1'}")
        for name in CASES
        for http2 in (False, True)
        if not (http2 and name in HTTP1_ONLY)
    ],
)
def test_a_failure_is_openais_json(stack: Stack, simulator: Provider, name: str, http2: bool) -> None:
    case = CASES[name]
    simulator.script = case.script
    content = case.body if isinstance(case.body, bytes | None) else json.dumps(case.body).encode()
    with stack.http(http2=http2, key=case.key) as http:
        request = http.build_request(
            case.method, case.path, content=content, headers={**case.headers, "x-request-id": REQUEST_ID}
        )
        answer = http.send(request)
    check(answer, case)
    assert answer.headers["x-request-id"]
    if name not in WITHOUT_ID:
        assert answer.headers["x-request-id"] == REQUEST_ID


def check(answer: httpx.Response, case: Case) -> None:
    assert answer.status_code == case.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert answer.json().keys() == {"error"}
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"]
    assert (error["type"], error["code"]) == (case.type, case.code)
    for header, value in case.answered.items():
        assert answer.headers[header] == value, header
    assert "upstream-key" not in answer.text


@pytest.mark.parametrize("name", PROVIDER)
def test_a_stream_that_fails_before_its_first_output_has_the_same_answer(
    stack: Stack, simulator: Provider, name: str
) -> None:
    case = PROVIDER[name]
    simulator.script = case.script
    with stack.http() as http:
        check(http.post("/v1/chat/completions", json={**case.body, "stream": True}), case)


@pytest.mark.parametrize(
    ("sim", "code"),
    [("after=3", "upstream_interrupted"), ("no_done=1,after=3,end=stall", "upstream_timeout")],
    ids=["cut", "silent"],
)
def test_a_stream_that_fails_later_says_so_in_band_and_never_done(stack: Stack, sim: str, code: str) -> None:
    before = stack.metric("sidecar_requests_total", route="hasty", outcome="ok")
    with stack.http() as http:
        body = {"model": "hasty", "messages": [{"role": "user", "content": "a b c"}], "stream": True, "sim": sim}
        answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    events = [line for line in answer.text.splitlines() if line]
    assert "data: [DONE]" not in events
    error = json.loads(events[-1].removeprefix("data: "))["error"]
    assert (error["type"], error["code"]) == ("api_error", code)
    assert stack.metric("sidecar_requests_total", route="hasty", outcome="ok") == before, "it counts as failed"


def test_a_request_id_that_is_not_harmless_is_replaced(stack: Stack) -> None:
    with stack.http() as http:
        kept = http.post("/v1/chat/completions", json=CHAT, headers={"x-request-id": REQUEST_ID})
        assert kept.headers["x-request-id"] == REQUEST_ID
        for odd in ("a b c d e f", "short", "x" * 65, "inject{}{}{}"):
            answer = http.post("/v1/chat/completions", json=CHAT, headers={"x-request-id": odd})
            assert answer.headers["x-request-id"] not in (odd, "")
        assert http.get("/v1/models").headers["x-request-id"]


def test_an_unknown_route_is_counted_as_unknown_and_not_by_its_name(stack: Stack) -> None:
    with stack.http() as http:
        assert http.post("/v1/chat/completions", json={**CHAT, "model": "sesame"}).status_code == 404
    assert stack.metric("sidecar_requests_total", route="unknown", outcome="route_not_found") > 0
    assert "sesame" not in stack.metrics_text()


def test_plain_http_on_the_tls_port_is_told_so(stack: Stack) -> None:
    answer = httpx.get(f"http://127.0.0.1:{stack.port}/v1/models", trust_env=False)
    check(answer, Case(400, "bad_request"))
    assert "HTTPS" in answer.json()["error"]["message"]


def test_every_status_of_the_table_is_shown_here_or_cannot_be_provoked() -> None:
    shown = {case.status for case in CASES.values()}
    # Ours alone: 403 and 409 are answers to admins' calls, 500 is a bug, 499 has nobody to read it.
    assert {answer.http for answer in STATUS_ROWS.values()} - shown == {403, 409, 499, 500}

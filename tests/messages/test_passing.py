"""A caller of the Messages API on a route of Anthropic: the bytes pass, both ways, behind both fronts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.provider import Call, Provider, Reply, error_reply, event, json_reply, sse_reply
from tests.stack.stack import Stack

PATH = "/v1/messages"
BODY: dict[str, Any] = {"model": "claude", "max_tokens": 64, "messages": [{"role": "user", "content": "Oslo?"}]}
ANSWER = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"claude-sim","content":[{"type":"text","text":"R\\u00e9sum\\u00e9",'
    b'"citations":null},{"type":"of_next_week","n":1.0e-1}],"stop_reason":"end_turn","stop_sequence":null,'
    b'"usage":{"input_tokens":30,"cache_read_input_tokens":7,"output_tokens":12},"next_week":{"a":[1]}}'
)
_HEAD: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sim",
    "content": [],
    "stop_reason": None,
}
EVENTS = [
    event("message_start", {"type": "message_start", "message": {**_HEAD, "usage": {"input_tokens": 30}}}),
    event("ping", {"type": "ping"}),
    event(
        "content_block_start",
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ),
    *(
        event(
            "content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        )
        for text in ("Hel", "lo")
    ),
    event("of_next_week", {"type": "of_next_week", "n": 1}),
    event("content_block_stop", {"type": "content_block_stop", "index": 0}),
    event(
        "message_delta",
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}},
    ),
    event("message_stop", {"type": "message_stop"}),
]


def whole(call: Call) -> Reply:
    return Reply(parts=(ANSWER,))


def test_a_whole_answer_passes_byte_for_byte(stack: Stack, simulator: Provider) -> None:
    simulator.script = whole
    written = (
        b'{"max_tokens":64, "model" : "claude","messages":[{"role":"user","content":"\\u00e9 1.0e-1"}],'
        b'"of_next_week":12345678901234567890}'
    )
    with stack.http() as http:
        answer = http.post(PATH, content=written, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.content) == (200, ANSWER)
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    call = simulator.calls[-1]
    assert call.path == "/v1/messages"
    assert b'"content":"\\u00e9 1.0e-1"' in call.body
    assert b'"of_next_week":12345678901234567890' in call.body
    assert call.json["model"] == "sim-chat"


def test_a_stream_passes_byte_for_byte(stack: Stack, simulator: Provider) -> None:
    simulator.script = lambda call: sse_reply(EVENTS)
    with stack.http() as http:
        answer = http.post(PATH, json={**BODY, "stream": True})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.content == b"".join(EVENTS)


@pytest.mark.parametrize("beta", ["", "?beta=true"])
def test_the_version_and_the_betas_of_the_caller_go_on_and_nothing_else(
    stack: Stack, simulator: Provider, beta: str
) -> None:
    simulator.script = whole
    headers = [
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "one-2026-01-01,two-2026-01-01"),
        ("anthropic-beta", "three-2026-01-01"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("x-app", "cli"),
    ]
    with stack.http() as http:
        assert http.post(PATH + beta, json=BODY, headers=headers).status_code == 200
    sent = simulator.calls[-1].headers
    assert sent["anthropic-version"] == "2026-10-21"
    assert sent["anthropic-beta"].replace(" ", "").split(",") == [
        "one-2026-01-01",
        "two-2026-01-01",
        "three-2026-01-01",
    ]
    assert (sent["x-api-key"], "authorization" in sent, "x-app" in sent) == ("anthropic-key", False, False)
    assert not [name for name in sent if name.startswith("anthropic-dangerous")]
    with stack.http() as http:
        http.post(PATH, json=BODY)
    assert simulator.calls[-1].headers["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
def test_each_header_of_a_key_is_a_credential(stack: Stack, simulator: Provider, name: str) -> None:
    simulator.script = whole
    scheme = "Bearer " if name == "authorization" else ""
    with stack.http(key=None) as http:
        assert http.post(PATH, json=BODY, headers={name: scheme + stack.api_key}).status_code == 200
        assert stack.api_key not in str(simulator.calls[-1].headers)
        assert http.get("/v1/models", headers={name: scheme + stack.api_key}).status_code == 200
        assert http.post(PATH, json=BODY, headers={name: scheme + "d3Jvbmc6d3Jvbmc="}).status_code == 401


def test_of_several_credentials_the_first_in_a_fixed_order_counts(stack: Stack, simulator: Provider) -> None:
    """Claude Code sends both where both of its variables are set."""
    simulator.script = whole
    good, bad = stack.api_key, "sk-ant-of-another-place"
    cases = [
        ({"authorization": f"Bearer {good}", "x-api-key": bad}, 200),
        ({"authorization": f"Bearer {bad}", "x-api-key": good}, 401),
        ({"x-api-key": good, "api-key": bad}, 200),
        ({"x-api-key": bad, "api-key": good}, 401),
    ]
    with stack.http(key=None) as http:
        for headers, status in cases:
            assert http.post(PATH, json=BODY, headers=headers).status_code == status, headers


def test_refusals_of_the_gateway_are_anthropics(stack: Stack, simulator: Provider) -> None:
    with stack.http() as http:
        answer = http.post(PATH, json={**BODY, "model": "nobody"})
    body = answer.json()
    assert answer.status_code == 404
    assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    assert body["error"]["details"] == {"error_code": "model_not_found"}
    assert body["request_id"] == answer.headers["x-request-id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    ("headers", "content", "status", "type_"),
    [
        ({"authorization": "Bearer bm9ib2R5Onk="}, b"{}", 401, "authentication_error"),
        ({"content-type": "text/plain"}, b"{}", 415, "invalid_request_error"),
        ({}, None, 405, "invalid_request_error"),
    ],
)
def test_refusals_of_the_front_are_anthropics_too(
    stack: Stack, headers: dict[str, str], content: bytes | None, status: int, type_: str
) -> None:
    with stack.http() as http:
        verb = "GET" if content is None else "POST"
        answer = http.request(verb, PATH, content=content, headers={"content-type": "application/json", **headers})
        elsewhere = http.post("/v1/chat/completions", content=b"{}", headers={"content-type": "text/plain"})
    body = answer.json()
    assert (answer.status_code, body["type"], body["error"]["type"]) == (status, "error", type_)
    assert body["request_id"] == answer.headers["request-id"] == answer.headers["x-request-id"]
    assert elsewhere.json().keys() == {"error"}
    assert "request-id" not in elsewhere.headers


@pytest.mark.parametrize(
    ("status", "ours", "type_"),
    [
        (400, 400, "invalid_request_error"),
        (401, 424, "api_error"),
        (429, 429, "rate_limit_error"),
        (500, 503, "api_error"),
        (529, 529, "overloaded_error"),
    ],
)
def test_refusals_of_the_provider_keep_their_type(
    stack: Stack, simulator: Provider, status: int, ours: int, type_: str
) -> None:
    simulator.script = lambda call: error_reply(call, status, f"no: {call.key}")
    for stream in (False, True):
        with stack.http() as http:
            answer = http.post(PATH, json={**BODY, "stream": stream})
        assert (answer.status_code, answer.json()["error"]["type"]) == (ours, type_)
        assert "anthropic-key" not in answer.text


def test_an_error_in_mid_stream_is_the_last_event(stack: Stack, simulator: Provider) -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    seen = simulator.gate()
    simulator.script = lambda call: sse_reply([*EVENTS[:4], seen, event("error", error)])
    lines: list[str] = []
    with stack.http() as http, http.stream("POST", PATH, json={**BODY, "stream": True}) as answer:
        for line in answer.iter_lines():
            lines += [line] if line else []
            if "Hel" in line:
                seen.open()
    assert lines[-2] == "event: error"
    body = json.loads(lines[-1].removeprefix("data: "))
    assert (body["type"], body["error"]["type"], body["error"]["message"]) == (
        "error",
        "overloaded_error",
        "Overloaded",
    )


def test_calls_are_counted_under_the_doors_name(stack: Stack, simulator: Provider) -> None:
    simulator.script = lambda call: sse_reply(EVENTS) if call.json.get("stream") else json_reply(json.loads(ANSWER))
    labels = {"route": "claude", "outcome": "ok"}
    for operation, stream in (("messages", False), ("stream_messages", True)):
        before = stack.metric("sidecar_requests_total", operation=operation, **labels)
        with stack.http() as http:
            http.post(PATH, json={**BODY, "stream": stream})
        assert stack.metric("sidecar_requests_total", operation=operation, **labels) == before + 1
    assert stack.metric("sidecar_tokens_total", route="claude", kind="input") >= 67

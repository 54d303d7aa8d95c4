"""What OpenAI offers beside answers: how many tokens a request has, and a conversation made shorter."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.provider import Call, Provider, Reply, error_reply, json_reply
from tests.provider.openai_responses import HEAD, USAGE
from tests.responses.test_door import PATH, TOOL, sdk
from tests.stack.stack import Stack

COUNT = f"{PATH}/input_tokens"
COMPACT = f"{PATH}/compact"
COMPACTED = {
    **HEAD,
    "object": "response.compaction",
    "output": [{"id": "cmp_1", "type": "compaction", "encrypted_content": "gAAAA"}],
    "usage": USAGE,
}
LONG = "How many? " * 400
JSON = {"content-type": "application/json"}


def counts(call: Call) -> Reply:
    """As OpenAI and Anthropic do."""
    kind = {"object": "response.input_tokens"} if call.path.endswith("/input_tokens") else {}
    return json_reply({**kind, "input_tokens": 4321})


@pytest.mark.parametrize(
    ("route", "path", "members"),
    [
        ("gpt", COUNT, {"model", "input", "tools", "instructions"}),
        ("claude", "/v1/messages/count_tokens", {"model", "messages", "system", "tools"}),
    ],
)
def test_a_provider_that_counts_is_the_one_that_counts(
    stack: Stack, simulator: Provider, route: str, path: str, members: set[str]
) -> None:
    simulator.script = counts
    spent = stack.metric("sidecar_tokens_total", route=route)
    with sdk(stack) as client:
        found = client.responses.input_tokens.count(model=route, input="hi", instructions="Be short.", tools=[TOOL])  # type: ignore[list-item]
    assert (found.object, found.input_tokens) == ("response.input_tokens", 4321)
    assert simulator.calls[-1].path == path
    assert set(simulator.calls[-1].json) == members  # Anthropic refuses max_tokens here
    assert stack.metric("sidecar_tokens_total", route=route) == spent
    labels = {"route": route, "operation": "count_tokens", "outcome": "ok"}
    assert stack.metric("sidecar_requests_total", **labels) >= 1


def test_callers_of_messages_are_counted_by_openai_on_a_route_that_is_asked_by_responses(
    stack: Stack, simulator: Provider
) -> None:
    simulator.script = counts
    body: dict[str, Any] = {"model": "asked", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    with stack.http() as http:
        found = http.post("/v1/messages/count_tokens", json=body)
    assert (found.status_code, found.json()) == (200, {"input_tokens": 4321})
    assert "x-sidecar-estimated" not in found.headers
    assert simulator.calls[-1].path == COUNT
    assert set(simulator.calls[-1].json) == {"model", "input"}


@pytest.mark.parametrize("fails", [False, True])
def test_elsewhere_and_where_the_provider_fails_it_is_an_estimate_and_says_so(
    stack: Stack, simulator: Provider, fails: bool
) -> None:
    simulator.script = lambda call: error_reply(call, 404, "no such path")
    with stack.http() as http:
        found = http.post(COUNT, json={"model": "gpt" if fails else "chat", "input": LONG})
    assert (found.status_code, found.headers["x-sidecar-estimated"]) == (200, "input_tokens")
    assert found.json()["object"] == "response.input_tokens"
    assert 900 <= found.json()["input_tokens"] <= 1200


def test_what_the_provider_refuses_and_what_cannot_be_read_is_refused(stack: Stack, simulator: Provider) -> None:
    simulator.script = lambda call: error_reply(call, 400, "input: bad")
    with stack.http() as http:
        for route in ("gpt", "claude"):
            found = http.post(COUNT, json={"model": route, "input": "hi"})
            assert (found.status_code, "input: bad" in found.json()["error"]["message"]) == (400, True), route
        assert http.post(COUNT, json={"model": "claude", "input": 1}).json()["error"]["param"] == "input"
        assert http.post(COUNT, json={"model": "nobody", "input": "hi"}).status_code == 404


def test_compacting_passes_to_openai_and_is_billed(stack: Stack, simulator: Provider) -> None:
    simulator.script = lambda call: json_reply(COMPACTED)
    before = stack.metric("sidecar_tokens_total", route="gpt", kind="input")
    with sdk(stack) as client:
        found = client.responses.compact(model="gpt", input="hi", previous_response_id="resp_0")
    assert found.object == "response.compaction"
    assert simulator.calls[-1].path == COMPACT
    assert simulator.calls[-1].json == {"model": "sim-chat", "input": "hi", "previous_response_id": "resp_0"}
    assert stack.metric("sidecar_tokens_total", route="gpt", kind="input") > before
    labels = {"route": "gpt", "operation": "compact_response", "outcome": "ok"}
    assert stack.metric("sidecar_requests_total", **labels) >= 1


@pytest.mark.parametrize("route", ["chat", "claude"])
def test_compacting_elsewhere_is_refused_with_what_to_do(stack: Stack, simulator: Provider, route: str) -> None:
    calls = len(simulator.calls)
    with stack.http() as http:
        found = http.post(COMPACT, json={"model": route, "input": "hi"})
    assert found.status_code == 400
    assert "Ask for a summary with POST /v1/responses" in found.json()["error"]["message"]
    assert len(simulator.calls) == calls


def test_an_id_that_nobody_remembers_is_refused_here_too(stack: Stack) -> None:
    with stack.http() as http:
        found = http.post(COUNT, json={"model": "claude", "input": "hi", "previous_response_id": "resp_1"})
    assert (found.status_code, found.json()["error"]["param"]) == (400, "previous_response_id")


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_what_answers_in_the_background_need_is_refused_by_name(stack: Stack, simulator: Provider, prefix: str) -> None:
    """There are none on a route whose provider has no Responses API, and others are the provider's to cancel."""
    seen = len(simulator.calls)
    with stack.http() as http:
        made = http.post(f"{prefix}/responses", json={"model": "claude", "input": "hi", "background": True})
        assert (made.status_code, made.json()["error"]["param"]) == (400, "background")
        for body in (b"", b"{}"):
            found = http.post(f"{prefix}/responses/resp_1/cancel", content=body, headers=JSON)
            error = found.json()["error"]
            assert (found.status_code, error["code"], error["param"]) == (404, "response_not_found", "id")
    with sdk(stack) as client, pytest.raises(openai.NotFoundError, match="resp_1"):
        client.responses.cancel("resp_1")
    assert len(simulator.calls) == seen


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_the_conversations_api_is_refused_with_what_to_use(stack: Stack, prefix: str) -> None:
    with stack.http() as http:
        for body in (b"", b'{"items": []}'):
            found = http.post(f"{prefix}/conversations", content=body, headers=JSON)
            error = found.json()["error"]
            assert (found.status_code, error["code"]) == (400, "unsupported_parameter")
            assert "SQLiteSession" in error["message"]
            assert "remember: 1h" in error["message"]
    with sdk(stack) as client, pytest.raises(openai.BadRequestError, match="previous_response_id"):
        client.conversations.create()


def test_nobody_cancels_without_a_credential(stack: Stack) -> None:
    with stack.http(key=None) as http:
        for path in ("/v1/responses/resp_1/cancel", "/v1/conversations"):
            assert http.post(path, json={}).status_code == 401

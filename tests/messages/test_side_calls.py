"""What programs ask beside messages: how many tokens a conversation has, which models there are, whether anybody is there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.provider import Call, Provider, Reply, error_reply, json_reply
from tests.stack.stack import Stack

COUNT = "/v1/messages/count_tokens"
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "How many? " * 400}], "tools": []}
VERSION = {"anthropic-version": "2023-06-01"}


def counted(call: Call) -> Reply:
    return json_reply({"input_tokens": 4321})


def test_anthropic_counts_itself(stack: Stack, simulator: Provider) -> None:
    simulator.script = counted
    spent = stack.metric("sidecar_tokens_total", route="claude")
    calls = stack.metric("sidecar_requests_total", route="claude", operation="count_tokens", outcome="ok")
    with stack.http() as http:
        answer = http.post(f"{COUNT}?beta=true", json={**BODY, "model": "claude"}, headers={"anthropic-beta": "b-1"})
    assert (answer.status_code, answer.json()) == (200, {"input_tokens": 4321})
    assert "x-sidecar-estimated" not in answer.headers
    call = simulator.calls[-1]
    assert (call.path, call.query) == (COUNT, "beta=true")
    assert (call.headers["anthropic-beta"], call.json["model"]) == ("b-1", "sim-chat")
    assert stack.metric("sidecar_tokens_total", route="claude") == spent
    assert stack.metric("sidecar_requests_total", route="claude", operation="count_tokens", outcome="ok") == calls + 1


@pytest.mark.parametrize("route", ["chat", "cohere"])
def test_for_others_it_is_an_estimate_and_says_so(stack: Stack, simulator: Provider, route: str) -> None:
    before = len(simulator.calls)
    with stack.http() as http:
        answer = http.post(COUNT, json={**BODY, "model": route})
    assert answer.headers["x-sidecar-estimated"] == "input_tokens"
    assert 900 <= answer.json()["input_tokens"] <= 1200
    assert len(simulator.calls) == before


def test_where_the_provider_fails_it_is_an_estimate_and_where_it_refuses_the_body_it_is_its_refusal(
    stack: Stack, simulator: Provider
) -> None:
    simulator.script = lambda call: error_reply(call, 404, "no such path")
    with stack.http() as http:
        answer = http.post(COUNT, json={**BODY, "model": "claude"})
        assert (answer.status_code, answer.headers["x-sidecar-estimated"]) == (200, "input_tokens")
        simulator.script = lambda call: error_reply(call, 400, "messages.0: bad")
        answer = http.post(COUNT, json={**BODY, "model": "claude"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
        assert "messages.0: bad" in answer.json()["error"]["message"]
        assert http.post(COUNT, json={**BODY, "model": "nobody"}).status_code == 404


def test_models_have_anthropics_shape_for_callers_who_name_its_version(stack: Stack) -> None:
    with stack.http() as http:
        whole = http.get("/v1/models", headers=VERSION).json()
        assert [each["id"] for each in whole["data"]] == ["chat", "claude", "gpt-5", "cohere"]  # no embeddings
        assert whole["data"][0] == {
            "type": "model",
            "id": "chat",
            "display_name": "chat",
            "created_at": "1970-01-01T00:00:00Z",
        }
        assert (whole["has_more"], whole["first_id"], whole["last_id"]) == (False, "chat", "cohere")
        page = http.get("/v1/models?limit=2&after_id=chat&beta=true", headers=VERSION).json()
        assert ([each["id"] for each in page["data"]], page["has_more"]) == (["claude", "gpt-5"], True)
        assert http.get("/v1/models/claude", headers=VERSION).json()["id"] == "claude"
        missing = http.get("/v1/models/nobody", headers=VERSION)
        assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
        assert http.get("/v1/models?limit=0", headers=VERSION).json()["error"]["type"] == "invalid_request_error"
        assert {each["object"] for each in http.get("/v1/models").json()["data"]} == {"model"}
        assert http.get("/v1/models?limit=2").json()["error"]["param"] == "limit"


def test_head_of_the_root_is_answered_with_and_without_a_credential(stack: Stack) -> None:
    """Claude Code asks without one, and takes any status for a sign of life."""
    with stack.http(key=None) as http:
        assert http.head("/").status_code == 401
    with stack.http() as http:
        assert http.head("/").status_code == 200


def test_a_prompt_that_is_too_long_for_openai_is_told_in_anthropics_words(stack: Stack, simulator: Provider) -> None:
    text = "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens."
    error = {"error": {"message": text, "type": "invalid_request_error", "code": "context_length_exceeded"}}
    simulator.script = lambda call: json_reply(error, status=400)
    with stack.http() as http:
        answer = http.post("/v1/messages", json={**BODY, "model": "chat", "max_tokens": 9})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("prompt is too long: 130001 tokens > 128000 maximum")

"""A caller of the Messages API on routes of every kind of provider: one conversation with tools, the same answers to read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.messages.providers import CALLS, COUNTS, TEXT, THOUGHT, answers
from tests.oracles import messages
from tests.oracles.anthropic import answer as read
from tests.provider import Call, Provider, Reply, data, error_reply, sse_reply
from tests.stack.stack import Stack

PATH = "/v1/messages"
ROUTES = ("claude", "chat", "gpt-5", "cohere")
TOOL = {
    "name": "find",
    "description": "Finds.",
    "input_schema": {"type": "object", "properties": {"q": {}}},
    "cache_control": {"type": "ephemeral"},
}
PNG = "iVBORw0KGgo="


def body(route: str, **members: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "model": route,
        "max_tokens": 64,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=1.abc;"},
            {"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [{"role": "user", "content": "Oslo?"}],
        "metadata": {"user_id": "someone"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }
    return found | members


def message_of(stack: Stack, sent: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """The message, however it came; the rules of streams checked."""
    with stack.http() as http:
        answer = http.post(f"{PATH}?beta=true", json=sent | ({"stream": True} if stream else {}))
    assert answer.status_code == 200, answer.text
    if not stream:
        found: dict[str, Any] = answer.json()
        return found
    events = messages.events(answer.content)
    messages.check(events)
    whole: dict[str, Any] = {}
    for each in events:
        match each["type"]:
            case "message_start":
                whole = each["message"]
            case "content_block_start":
                whole["content"].append({**each["content_block"], "partial": ""})
            case "content_block_delta":
                block, delta = whole["content"][-1], each["delta"]
                for name in ("text", "thinking", "signature"):
                    if name in delta:
                        block[name] += delta[name]
                block["partial"] += delta.get("partial_json", "")
            case "content_block_stop":
                partial = whole["content"][-1].pop("partial")
                if partial:
                    whole["content"][-1]["input"] = json.loads(partial)
            case "message_delta":
                whole |= each["delta"]
                whole["usage"] |= each["usage"]
    return whole


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("route", ROUTES)
def test_a_text_with_its_counts(stack: Stack, simulator: Provider, route: str, stream: bool) -> None:
    simulator.script = answers
    answer = message_of(stack, body(route), stream=stream)
    assert answer["content"] == [{"type": "text", "text": TEXT}]
    assert (answer["type"], answer["role"], answer["stop_reason"]) == ("message", "assistant", "end_turn")
    usage = read({"response": {"body": answer}})["usage"]
    assert (usage["input_tokens"], usage["cached_input_tokens"], usage["output_tokens"]) == tuple(COUNTS.values())
    if route != "claude":
        sent = json.dumps(simulator.calls[-1].json)
        assert "Be short." in sent
        assert not [word for word in ("billing", "someone", "cache_control", "context_management") if word in sent]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("route", ROUTES)
def test_a_loop_of_parallel_calls_with_a_thought_an_error_and_a_picture(
    stack: Stack, simulator: Provider, route: str, stream: bool
) -> None:
    simulator.script = answers
    first = body(route, tools=[TOOL], tool_choice={"type": "auto"}, thinking={"type": "adaptive"})
    answer = message_of(stack, first, stream=stream)
    thought, text, *calls = answer["content"]
    assert (thought["type"], thought["thinking"], bool(thought["signature"])) == ("thinking", THOUGHT, True)
    assert text == {"type": "text", "text": TEXT}
    assert [(call["type"], call["name"], call["input"]) for call in calls] == [("tool_use", *each) for each in CALLS]
    assert answer["stop_reason"] == "tool_use"
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    results = [
        {"type": "tool_result", "tool_use_id": calls[0]["id"], "is_error": True, "content": "boom"},
        {"type": "tool_result", "tool_use_id": calls[1]["id"], "content": [{"type": "text", "text": "t"}, picture]},
        {"type": "text", "text": "go on"},
    ]
    turns = [
        *first["messages"],
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": results},
        {"role": "system", "content": "Stay short."},
    ]
    last = message_of(stack, first | {"messages": turns}, stream=stream)
    assert (last["content"], last["stop_reason"]) == ([{"type": "text", "text": TEXT}], "end_turn")
    sent = simulator.calls[-1].json["messages"]
    if route == "claude":
        assert sent == turns
        return
    tools = [turn for turn in sent if turn["role"] == "tool"]
    assert [turn["tool_call_id"] for turn in tools] == [call["id"] for call in calls]
    assert "Error: boom" in json.dumps(tools[0])
    at = sent.index(tools[1])
    assert sent[at + 1]["role"] == "user"
    assert PNG in json.dumps(sent[at + 1])
    assert "go on" in json.dumps(sent[at + 1])
    assert sent[at + 2]["role"] == "system"
    calling = next(turn for turn in sent if turn.get("tool_calls"))
    assert [json.loads(call["function"]["arguments"]) for call in calling["tool_calls"]] == [
        value for _, value in CALLS
    ]


@pytest.mark.parametrize("route", ["chat", "gpt-5", "cohere"])
def test_what_was_left_out_is_named(stack: Stack, simulator: Provider, route: str) -> None:
    simulator.script = answers
    with stack.http() as http:
        answer = http.post(PATH, json=body(route, thinking={"type": "enabled", "budget_tokens": 2048}))
    names = answer.headers["x-sidecar-left-out"].split(", ")
    assert {"metadata", "context_management", "cache_control"} <= set(names)
    effort = simulator.calls[-1].json.get("reasoning_effort")
    assert (effort, "thinking" in names) == (("low", False) if route == "gpt-5" else (None, True))


@pytest.mark.parametrize("route", ["chat", "cohere"])
def test_a_schema_is_kept(stack: Stack, simulator: Provider, route: str) -> None:
    simulator.script = answers
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    message_of(stack, body(route, output_config={"format": {"type": "json_schema", "schema": schema}}), stream=False)
    assert schema == _schema_in(simulator.calls[-1].json["response_format"])


def _schema_in(form: dict[str, Any]) -> Any:
    inner = form["json_schema"]
    return inner.get("schema", inner)


@pytest.mark.parametrize("route", ["chat", "cohere"])
def test_a_forced_web_search_is_refused_by_name(stack: Stack, simulator: Provider, route: str) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
    before = len(simulator.calls)
    with stack.http() as http:
        answer = http.post(PATH, json=body(route, tools=[search], tool_choice={"type": "tool", "name": "web_search"}))
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert "web_search_20250305" in answer.json()["error"]["message"]
    assert len(simulator.calls) == before


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_threads_are_refused_in_the_words_that_sdks_know(stack: Stack, stream: bool) -> None:
    for thread, status, code in (
        ({"type": "create"}, 400, "thread_unsupported_request"),
        ({"type": "continue", "previous_message_id": "msg_1"}, 404, "thread_not_found"),
    ):
        with stack.http() as http:
            answer = http.post(PATH, json=body("chat", thread=thread, stream=stream))
        assert (answer.status_code, answer.json()["error"]["details"]["error_code"]) == (status, code)


@pytest.mark.parametrize("route", ["chat", "cohere"])
def test_an_error_of_the_provider_has_anthropics_shape(stack: Stack, simulator: Provider, route: str) -> None:
    for status, type_ in ((429, "rate_limit_error"), (500, "api_error")):
        simulator.script = lambda call, status=status: error_reply(call, status, "no")
        for stream in (False, True):
            with stack.http() as http:
                answer = http.post(PATH, json=body(route, stream=stream))
            assert (answer.json()["type"], answer.json()["error"]["type"]) == ("error", type_)


def test_a_broken_stream_ends_with_an_error_and_without_message_stop(stack: Stack, simulator: Provider) -> None:
    def broken(call: Call) -> Reply:
        chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}]}
        return sse_reply([data(chunk)])

    simulator.script = broken
    with stack.http() as http:
        events = messages.events(http.post(PATH, json=body("chat", stream=True)).content)
    messages.check(events, whole=False)
    assert [event["type"] for event in events][-1] == "error"
    assert "message_stop" not in str(events)


@pytest.mark.parametrize("route", ["claude", "chat"])
def test_a_caller_that_leaves_ends_the_providers_call(stack: Stack, simulator: Provider, route: str) -> None:
    held = simulator.gate()

    def holds(call: Call) -> Reply:
        whole = answers(call)
        return sse_reply([*whole.parts[:5], held])

    simulator.script = holds
    with stack.http() as http, http.stream("POST", PATH, json=body(route, stream=True)) as answer:
        for line in answer.iter_lines():
            if "Let" in line:
                break
    call = simulator.calls[-1]
    simulator.wait_for(lambda provider: call.outcome == "peer_closed")
    held.open()

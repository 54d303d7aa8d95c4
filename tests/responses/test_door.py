"""Callers of the Responses API, behind both fronts: with OpenAI's own SDK, and by the bytes."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest

from tests.provider import Call, Provider, Reply, data, error_reply, event, json_reply, sse_reply
from tests.provider.claude import thinks_first
from tests.provider.openai_responses import CALL, HEAD, MESSAGE, REASONING, answer, events
from tests.stack.stack import Stack

PATH = "/v1/responses"
TOOL: dict[str, Any] = {
    "type": "function",
    "name": "find",
    "parameters": {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]},
}


@contextmanager
def sdk(stack: Stack) -> Iterator[openai.OpenAI]:
    context = ssl.create_default_context(cafile=str(stack.ca))
    with httpx.Client(verify=context) as http:
        yield openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stack.api_key, http_client=http, max_retries=0)  # type: ignore[arg-type]


def test_a_whole_answer_of_openai_passes_byte_for_byte(stack: Stack, simulator: Provider) -> None:
    body = json.dumps(answer(REASONING, MESSAGE, {"type": "of_next_week", "n": 1})).encode() + b"\n"
    simulator.script = lambda call: Reply(parts=(body,))
    written = b'{"input":"\\u00e9", "model" : "gpt","of_next_week":1.0e-1,"previous_response_id":"resp_0"}'
    with stack.http() as http:
        found = http.post(PATH, content=written, headers={"content-type": "application/json"})
    assert (found.status_code, found.content) == (200, body)
    call = simulator.calls[-1]
    assert call.path == "/v1/responses"
    assert b'"input":"\\u00e9"' in call.body
    assert b'"of_next_week":1.0e-1,"previous_response_id":"resp_0"' in call.body
    assert call.json["model"] == "sim-chat"


def test_a_stream_of_openai_passes_byte_for_byte(stack: Stack, simulator: Provider) -> None:
    stream_events = events(REASONING, MESSAGE, CALL)
    stream_events.insert(-1, event("response.of_next_week", {"type": "response.of_next_week", "n": 1}))
    simulator.script = lambda call: sse_reply(stream_events)
    with stack.http() as http:
        found = http.post(PATH, json={"model": "gpt", "input": "hi", "stream": True})
    assert found.content == b"".join(stream_events)
    tokens = [stack.metric("sidecar_tokens_total", route="gpt", kind=kind) for kind in ("input", "output", "reasoning")]
    assert all(count > 0 for count in tokens)


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_of_two_turns_with_thinking_on_a_route_of_anthropic(
    stack: Stack, simulator: Provider, stream: bool
) -> None:
    """The thought goes back with its signature, the calls with their ids and results."""
    simulator.script = thinks_first
    conversation: list[Any] = [{"role": "user", "content": "What is it?"}]
    for _ in range(2):
        request: dict[str, Any] = {"model": "claude", "input": conversation, "tools": [TOOL]}
        with sdk(stack) as client:
            if stream:
                with client.responses.stream(**request) as turns:
                    final = turns.get_final_response()
            else:
                final = client.responses.create(**request)
        conversation += [item.model_dump(exclude_none=True) for item in final.output]
        conversation += [
            {"type": "function_call_output", "call_id": item.call_id, "output": "found"}
            for item in final.output
            if item.type == "function_call"
        ]
    assert final.output_text == "42"
    assert final.usage is not None
    assert (final.usage.input_tokens, final.usage.output_tokens) == (30, 20)
    sent = simulator.calls[-1].json["messages"]
    assert [block["type"] for block in sent[1]["content"]] == [
        *("thinking", "redacted_thinking", "text", "tool_use", "tool_use"),
    ]
    assert sent[1]["content"][0] == {"type": "thinking", "thinking": "I should look.", "signature": "c2lnLTE="}
    assert sent[1]["content"][1] == {"type": "redacted_thinking", "data": "ZW5jLTI="}
    assert [block["tool_use_id"] for block in sent[2]["content"]] == ["toolu_1", "toolu_2"]


def test_what_no_other_provider_has_is_left_out_and_said(stack: Stack, simulator: Provider) -> None:
    body = {"model": "chat", "input": "hi", "tools": [TOOL, {"type": "web_search"}], "client_metadata": {"a": "b"}}
    with stack.http() as http:
        found = http.post(PATH, json=body)
    assert found.status_code == 200
    assert set(found.headers["x-sidecar-left-out"].split(", ")) == {"tools[].web_search", "client_metadata"}
    assert [tool["function"]["name"] for tool in simulator.calls[-1].json["tools"]] == ["find"]


@pytest.mark.parametrize(
    ("members", "param", "words"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "Send the whole conversation"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]", "store to false"),
        ({"input": [{"id": "msg_1"}]}, "input[0]", "store to false"),
        ({"background": True}, "background", "OpenAI's Responses API"),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice", "web_search"),
        ({"input": 1}, "input", "array"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id", "string"),
    ],
)
def test_what_needs_a_memory_or_a_tool_of_openais_is_refused_by_name(
    stack: Stack, members: dict[str, Any], param: str, words: str
) -> None:
    with stack.http() as http:
        found = http.post(PATH, json={"model": "chat", "input": "hi", **members})
    error = found.json()["error"]
    assert (found.status_code, error["param"]) == (400, param)
    assert words in error["message"]


def test_a_websocket_is_answered_so_that_codex_goes_on_with_post(stack: Stack) -> None:
    with stack.http() as http:
        wanted = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "eA==",
        }
        found = http.get(PATH, headers={**wanted, "openai-beta": "responses_websockets=2026-02-06"})
        assert found.status_code == 426
        assert "POST /v1/responses" in found.json()["error"]["message"]
        for method, path in (("GET", "/resp_1"), ("DELETE", "/resp_1"), ("GET", "/resp_1/input_items")):
            found = http.request(method, PATH + path)
            assert (found.status_code, found.json()["error"]["code"]) == (404, "response_not_found")


def test_refusals_of_the_provider_come_as_they_do_from_chat(stack: Stack, simulator: Provider) -> None:
    simulator.script = lambda call: error_reply(call, 429, f"slow down: {call.key}")
    for model in ("gpt", "claude", "chat"):
        with stack.http() as http:
            found = http.post(PATH, json={"model": model, "input": "hi"})
        assert (found.status_code, found.json()["error"]["type"]) == (429, "rate_limit_error"), model
        assert "-key" not in found.text


def test_a_stream_that_breaks_ends_with_a_failure_that_no_program_takes_for_success(
    stack: Stack, simulator: Provider
) -> None:
    stream_events = events(MESSAGE)
    chunk = {"id": "1", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": "Let"}}]}
    for model, parts in (("gpt", stream_events[:4]), ("chat", [event("", chunk).removeprefix(b"event: \n")])):
        simulator.script = lambda call, parts=parts: sse_reply(parts)
        with stack.http() as http:
            found = http.post(PATH, json={"model": model, "input": "hi", "stream": True})
        last = found.text.strip().split("\n\n")[-1].split("\n")
        assert last[0] == "event: response.failed", model
        failed = json.loads(last[1].removeprefix("data: "))
        assert (failed["response"]["status"], failed["response"]["error"]["code"]) == ("failed", "upstream_interrupted")


def openai_replies(call: Call) -> Reply:
    items = (REASONING, MESSAGE, CALL) if len(call.json["input"]) == 1 else ({**MESSAGE, "id": "msg_2"},)
    return sse_reply(events(*items)) if call.json.get("stream") else json_reply(answer(*items))


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_of_chat_completions_keeps_the_reasoning_of_a_route_asked_by_responses(
    stack: Stack, simulator: Provider, stream: bool
) -> None:
    simulator.script = openai_replies
    tool = {"type": "function", "function": {"name": "find", "parameters": TOOL["parameters"]}}
    body: dict[str, Any] = {"model": "asked", "tools": [tool], "messages": [{"role": "user", "content": "What?"}]}
    with sdk(stack) as client:
        if stream:
            with client.chat.completions.stream(**body) as turns:
                message = turns.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(**body).choices[0].message
        assert message.content == "Let me see."
        assert message.tool_calls is not None
        (call,) = message.tool_calls
        assert (call.id, call.function.name, call.function.arguments) == ("call_1", "find", '{"q":1}')
        body["messages"] += [
            message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": "call_1", "content": "found"},
        ]
        found = client.chat.completions.create(**body)
    assert found.choices[0].message.content == "Let me see."
    assert simulator.calls[-1].path == "/v1/responses"
    sent = simulator.calls[-1].json
    assert [item["type"] for item in sent["input"]] == [
        *("message", "reasoning", "message", "function_call", "function_call_output"),
    ]
    assert sent["input"][1]["encrypted_content"] == "gAAAAsealed"
    assert (sent["store"], sent["tools"][0]["strict"]) == (False, False)


def test_calls_are_counted_under_the_doors_name(stack: Stack, simulator: Provider) -> None:
    simulator.script = openai_replies
    for model in ("gpt", "claude"):
        simulator.script = openai_replies if model == "gpt" else None
        for operation, stream in (("responses", False), ("stream_responses", True)):
            labels = {"route": model, "outcome": "ok", "operation": operation}
            before = stack.metric("sidecar_requests_total", **labels)
            with stack.http() as http:
                assert http.post(
                    PATH, json={"model": model, "input": [{"role": "user", "content": "x"}], "stream": stream}
                ).is_success
            assert stack.metric("sidecar_requests_total", **labels) == before + 1


def test_the_head_of_a_stream_names_one_response_throughout(stack: Stack) -> None:
    with stack.http() as http:
        found = http.post(PATH, json={"model": "chat", "input": "hi", "stream": True, "metadata": {"a": "b"}})
    stream_events = [
        json.loads(line.removeprefix("data: ")) for line in found.text.splitlines() if line.startswith("data: ")
    ]
    assert [each["sequence_number"] for each in stream_events] == list(range(len(stream_events)))
    assert [each["type"] for each in stream_events[:2]] == ["response.created", "response.in_progress"]
    heads = [each["response"] for each in stream_events if "response" in each]
    assert len({head["id"] for head in heads}) == 1
    assert stream_events[-1]["type"] == "response.completed"
    assert all(head["metadata"] == {"a": "b"} for head in heads)
    assert HEAD.keys() <= heads[0].keys()


@pytest.mark.parametrize("stream", [False, True])
def test_a_name_that_is_too_long_for_the_provider_is_the_callers_own_in_its_answer(
    stack: Stack, simulator: Provider, stream: bool
) -> None:
    """Of a function, of one in a namespace, of a custom tool."""
    long = "looks_something_up_in_a_place_that_has_a_name_as_people_give_them_to_places"
    tools: list[dict[str, Any]] = [
        {"type": "function", "name": long, "parameters": {"type": "object"}},
        {"type": "namespace", "name": "places", "tools": [{"type": "function", "name": long}]},
        {"type": "custom", "name": f"{long}_freely"},
    ]
    simulator.script = calls_every_tool
    with stack.http() as http:
        found = http.post(PATH, json={"model": "chat", "input": "hi", "tools": tools, "stream": stream})
    assert found.status_code == 200, found.text
    text = found.text.rstrip().rpartition("data: ")[2] if stream else found.text
    answered = json.loads(text)
    output = answered["response"]["output"] if stream else answered["output"]
    assert [(item["name"], item.get("namespace")) for item in output] == [
        (long, None),
        (long, "places"),
        (f"{long}_freely", None),
    ]
    names = [tool["function"]["name"] for tool in simulator.calls[-1].json["tools"]]
    assert (len(set(names)), max(len(name) for name in names)) == (3, 64)


def calls_every_tool(call: Call) -> Reply:
    """By the names that it was sent."""
    names = [tool["function"]["name"] for tool in call.json["tools"]]
    calls = [
        {"index": n, "id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        for n, name in enumerate(names)
    ]
    head = {"id": "c", "created": 1, "model": "m"}
    if not call.json.get("stream"):
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        return json_reply({**head, "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    deltas: tuple[dict[str, Any], ...] = ({"tool_calls": calls}, {})
    return sse_reply(
        [
            *(data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas),
            data({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
            b"data: [DONE]\n\n",
        ]
    )

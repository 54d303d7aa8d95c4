"""Any answer that any provider gave, sent back as history to any other: what goes out is what that provider takes.

Every recorded answer, whole and streamed, as an OpenAI client appends it and as a stub does, with a result for each call.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Target, Task
from adapters.chunks import accumulate_chat
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.laws import CONTEXT, Case, cases
from tests.adapters.meaning import chunks_of
from tests.clients.double.anthropic_rules import broken_rule

CLIENT = FORMATS["openai"].client[Task.CHAT]
USER = {"role": "user", "content": "hi"}
TYPED_USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="hi")])
# These take one message, or a text: no history.
TARGETS = sorted(
    name for name, row in PROVIDERS.items()
    if Task.CHAT in row.tasks and Task.CHAT in FORMATS[row.format].provider and row.format not in ("mlflow", "mosaicml")
)  # fmt: skip
WITHOUT_TOOLS = ("cohere-v1", "local")
# What each strict provider takes in a turn of the assistant, from its reference; and in a call.
TURNS = {
    "mistral": {"role", "content", "tool_calls", "prefix", "function_call"},  # that asks for something: its to refuse
    "groq": {"role", "content", "tool_calls", "name", "reasoning", "function_call"},
    "cerebras": {"role", "content", "tool_calls", "name", "reasoning", "function_call"},
    "cohere": {"role", "content", "tool_calls", "tool_plan", "citations"},
}
# Calls of custom tools ask for what only OpenAI has: they are not refused here but by the provider.
CALLS = {name: {"id", "type", "function", "custom"} | ({"index"} if name == "mistral" else set()) for name in TURNS}
PARTS = {"text", "refusal", "thinking", "reference", "image_url", "document_url", "document"}


@cache
def answers() -> list[tuple[Case, pb.ChatResponse]]:
    return list(_answers())


def _answers() -> Iterator[tuple[Case, pb.ChatResponse]]:
    for case in cases():
        if case.task is not Task.CHAT or case.status != 200 or case.failed:
            continue
        try:
            found = (
                accumulate_chat(chunks_of(case, [case.sse])) if case.streamed else case.side.decode(case.body, CONTEXT)
            )
        except GatewayError:
            continue
        if found.choices:
            yield case, found


def as_rest(case: Case, answer: pb.ChatResponse) -> dict[str, Any]:
    """The message that an OpenAI client appends."""
    if case.format.name == "openai" and not case.streamed:
        choice = json.loads(case.body)["choices"][0]
        if "message" in choice:
            return dict(choice["message"])
    message: dict[str, Any] = json.loads(CLIENT.encode_response(answer))["choices"][0]["message"]
    return message


def rest_body(message: dict[str, Any]) -> bytes:
    calls = message.get("tool_calls") or []
    calls = calls if isinstance(calls, list) else [calls]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "42"} for call in calls]
    if (old := message.get("function_call")) and old.get("name") and not calls:
        results = [{"role": "function", "name": old["name"], "content": "42"}]
    names = [call[call.get("type") or "function"]["name"] for call in calls]
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in names]
    body = {"model": "r", "messages": [USER, message, *results, USER]}
    return json.dumps(body | ({"tools": tools} if tools else {})).encode()


def typed_request(message: pb.Message) -> pb.ChatRequest:
    results = [
        pb.Message(role=pb.ROLE_TOOL, tool_call_id=call.id, content=[pb.ContentPart(text="42")])
        for call in message.tool_calls
    ]
    if '"function_call"' in message.extra_json and not message.tool_calls:
        name = json.loads(message.extra_json)["function_call"].get("name")
        results = [pb.Message(role=pb.ROLE_FUNCTION, name=name, content=[pb.ContentPart(text="42")])] * bool(name)
    tools = [pb.Tool(function=pb.FunctionTool(name=call.name)) for call in message.tool_calls]
    return pb.ChatRequest(messages=[TYPED_USER, message, *results, TYPED_USER], tools=tools)


def wrong(name: str, body: dict[str, Any]) -> str | None:
    """What the provider would refuse."""
    if name == "anthropic":
        found = broken_rule(body, lambda thought: thought)
        own = found is not None and (
            "signature" in found or "_tool_use' found" in found or "_tool_result' found" in found
        )
        return None if own else found
    messages = body.get("messages", ())
    turns = [message for message in messages if message["role"] == "assistant"]
    calls = [call for turn in turns for call in turn.get("tool_calls") or ()]
    if name in TURNS:
        strange = {member for turn in turns for member in turn.keys() - TURNS[name]}
        strange |= {member for call in calls for member in call.keys() - CALLS[name]}
        if strange:
            return f"unknown members {strange}"
    members = ("content", "tool_calls", "function_call")
    if name in ("mistral", "cohere") and any(not any(turn.get(each) for each in members) for turn in turns):
        return "a turn that says nothing"
    if any(
        "content" not in turn and not turn.keys() & {"tool_calls", "function_call", "refusal", "audio"}
        for turn in turns
    ):
        return "a turn without content"
    ids = [call["id"] for call in calls]
    if not all(ids) or ids != [message["tool_call_id"] for message in messages if message["role"] == "tool"]:
        return f"calls {ids} without their results"
    return None


def strange_parts(name: str, body: dict[str, Any]) -> set[str]:
    """Kinds of parts that only another provider has."""
    contents = [message.get("content") for message in body.get("messages", ()) if message["role"] == "assistant"]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return set() if name == "anthropic" else {part["type"] for part in parts} - PARTS


@pytest.mark.parametrize("name", TARGETS)
def test_a_turn_of_any_provider_goes_on_at_any_other(name: str) -> None:
    row = PROVIDERS[name]
    side = FORMATS[row.format].provider[Task.CHAT]
    target = Target(row, "gemini-3-pro" if name == "gemini" else "m", "http://127.0.0.1:1", {"default_max_tokens": 50})
    problems: Counter[str] = Counter()
    for case, answer in answers():
        message, typed = as_rest(case, answer), answer.choices[0].message
        if name in WITHOUT_TOOLS and (message.get("tool_calls") or message.get("function_call")):
            continue
        envelope = CLIENT.open(rest_body(message))
        for how in ("rest", "typed"):
            try:
                if how == "typed":
                    call = side.encode(typed_request(typed), target, False, CONTEXT)
                elif row.format == "openai":
                    assert side.patch is not None
                    call = side.patch(envelope, target)
                else:
                    call = side.encode(CLIENT.decode_request(envelope), target, False, CONTEXT)
            except GatewayError as error:
                problems[f"{how} {case.row.provider.name}: {error.message}"] += 1
                continue
            body = json.loads(call.body)
            problem = wrong(name, body)
            if how == "typed" and (strange := strange_parts(name, body)):
                problem = f"parts {strange}"
            if problem is not None:
                problems[f"{how} {case.row.provider.name}: {problem}"] += 1
    assert not problems


CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}}


def sent(name: str, *history: dict[str, Any]) -> list[dict[str, Any]]:
    row = PROVIDERS[name]
    body = json.dumps({"model": "r", "max_tokens": 9, "messages": [USER, *history], "tools": [CALL]}).encode()
    request = CLIENT.decode_request(CLIENT.open(body))
    call = FORMATS[row.format].provider[Task.CHAT].encode(request, Target(row, "m", "http://h"), False, CONTEXT)
    messages: list[dict[str, Any]] = json.loads(call.body)["messages"]
    return messages


def turn(*ids: str) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id_, **CALL} for id_ in ids]}


def result(id_: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": text}


def test_an_id_that_two_calls_have_is_told_apart_for_anthropic() -> None:
    history = [turn("a", "a"), result("a", "1"), result("a", "2"), turn("a"), result("a", "3"), USER]
    blocks = [
        block for message in sent("anthropic", *history) for block in message["content"] if isinstance(block, dict)
    ]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    results = {block["tool_use_id"]: block["content"] for block in blocks if block["type"] == "tool_result"}
    assert len(set(ids)) == 3
    assert ids[0] == "a"
    assert [results[id_] for id_ in ids] == ["1", "2", "3"]


@pytest.mark.parametrize("name", ["anthropic", "cohere", "huggingface-text-generation-inference"])
def test_calls_without_an_id_get_one_and_so_do_their_results(name: str) -> None:
    messages = sent(name, turn("", ""), result("", "1"), result("", "2"))
    text = json.dumps(messages)
    found = [each for each in ("call_1", "call_2") if text.count(f'"{each}"') == 2]
    assert found == ["call_1", "call_2"]


def test_in_a_body_that_passes_too() -> None:
    row = PROVIDERS["openai"]
    side = FORMATS["openai"].provider[Task.CHAT]
    body = json.dumps({"model": "r", "messages": [USER, turn("", "x"), result("", "1"), result("x", "2")]}).encode()
    assert side.patch is not None
    messages = json.loads(side.patch(CLIENT.open(body), Target(row, "m", "http://h")).body)["messages"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["call_1", "x"]
    assert [message["tool_call_id"] for message in messages[2:]] == ["call_1", "x"]


@pytest.mark.parametrize("name", ["anthropic", "cohere"])
def test_a_call_of_a_function_in_the_older_word_is_a_call_of_a_tool(name: str) -> None:
    called = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}}
    text = json.dumps(sent(name, called, {"role": "function", "name": "f", "content": "42"}))
    assert text.count('"call_1"') == 2
    assert "function_call" not in text
    assert '"42"' in text


def test_blocks_of_anthropics_tools_and_citations_stay_with_anthropic() -> None:
    block = '{"type":"server_tool_use","id":"s","name":"web_search","input":{}}'
    parts = [
        pb.ContentPart(other_json=block),
        pb.ContentPart(text="Found.", extra_json='{"citations":[{"url":"https://example.com"}]}'),
    ]
    request = pb.ChatRequest(messages=[TYPED_USER, pb.Message(role=pb.ROLE_ASSISTANT, content=parts), TYPED_USER])
    for name in TARGETS:
        row = PROVIDERS[name]
        target = Target(row, "m", "http://h", {"default_max_tokens": 9})
        call = FORMATS[row.format].provider[Task.CHAT].encode(request, target, False, CONTEXT)
        kept = name == "anthropic"
        assert (b"server_tool_use" in call.body) is kept
        assert (b"citations" in call.body) is kept
        assert ("messages[].content_blocks" in call.left_out) is not kept

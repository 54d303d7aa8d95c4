"""What the simulated provider answers to one question in each of the formats that are behind the door, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from tests.provider import Call, Reply, data, event, json_reply, sse_reply
from tests.provider.claude import events_of

TEXT = "Let me see."
THOUGHT = "I should look."
CALLS: list[tuple[str, dict[str, Any]]] = [("find", {"q": 1}), ("find", {"q": "Grüß"})]
# Anthropic counts cached tokens beside its input tokens, the others among them.
COUNTS = {"input": 40, "cached": 7, "output": 12}


CITY = {"name": "Oslo", "people": 700_000}


def answers_schemas(call: Call) -> Reply:
    """As `answers`, but a city where the request wants one: by a schema for its answer, or by the arguments of a tool that
    clients make of it."""
    body = call.json
    write = _claude if call.path.endswith("/messages") else _cohere if call.path.endswith("/v2/chat") else _openai
    named = [each.get("function", each) for each in body.get("tools") or ()]
    forms = [each["name"] for each in named if "people" in json.dumps(each)]
    if forms:
        return write(body, tools=True, calls=[(forms[0], CITY)])
    if "people" in json.dumps([body.get(name) for name in ("output_config", "output_format", "response_format")]):
        return write(body, tools=False, text=json.dumps(CITY))
    return answers(call)


def answers(call: Call) -> Reply:
    """Text; with tools offered a thought, text and two calls at once; after their results a last text."""
    body = call.json
    finished = any(turn["role"] == "tool" or "tool_result" in json.dumps(turn) for turn in body["messages"])
    tools = bool(body.get("tools")) and not finished
    if call.path.endswith("/messages"):
        return _claude(body, tools)
    if call.path.endswith("/v2/chat"):
        return _cohere(body, tools)
    return _openai(body, tools)


Calls = list[tuple[str, dict[str, Any]]]


def _claude(body: dict[str, Any], tools: bool, text: str = TEXT, calls: Calls = CALLS) -> Reply:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if tools:
        blocks.insert(0, {"type": "thinking", "thinking": THOUGHT, "signature": "c2ln"})
        blocks += [
            {"type": "tool_use", "id": f"toolu_{n}", "name": name, "input": value}
            for n, (name, value) in enumerate(calls)
        ]
    reason = "tool_use" if tools else "end_turn"
    usage = {"input_tokens": 33, "cache_read_input_tokens": 7, "output_tokens": 12}
    if not body.get("stream"):
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sim", "stop_sequence": None}
        return json_reply({**head, "content": blocks, "stop_reason": reason, "usage": usage})
    events = events_of(blocks, reason)
    events[0]["message"]["usage"] = {**usage, "output_tokens": 1}
    events[-2]["usage"] = {"output_tokens": 12}
    return sse_reply([event(each["type"], each) for each in events])


def _openai(body: dict[str, Any], tools: bool, text: str = TEXT, calls: Calls = CALLS) -> Reply:
    usage = {
        "prompt_tokens": 40,
        "completion_tokens": 12,
        "total_tokens": 52,
        "prompt_tokens_details": {"cached_tokens": 7},
    }
    head = {"id": "chatcmpl-1", "created": 1, "model": "gpt-sim"}
    made: list[dict[str, Any]] = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(value)}}
        for n, (name, value) in enumerate(calls)
    ]
    finish = "tool_calls" if tools else "stop"
    if not body.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if tools:
            message |= {"reasoning_content": THOUGHT, "tool_calls": made}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return json_reply({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if tools:
        deltas += [{"reasoning_content": THOUGHT[:5]}, {"reasoning_content": THOUGHT[5:]}]
    deltas += [{"content": text[:3]}, {"content": text[3:]}]
    for index, each in enumerate(made if tools else []):
        arguments = each["function"]["arguments"]
        opened = {**each, "index": index, "function": {**each["function"], "arguments": ""}}
        deltas.append({"tool_calls": [opened]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in (arguments[:4], arguments[4:])
        ]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    chunks.append({"choices": [], "usage": usage})
    return sse_reply(
        [*(data({**head, "object": "chat.completion.chunk", **chunk}) for chunk in chunks), data("[DONE]")]
    )


def _cohere(body: dict[str, Any], tools: bool, text: str = TEXT, calls: Calls = CALLS) -> Reply:
    counts = {"billed_units": {}, "tokens": {"input_tokens": 40, "output_tokens": 12}, "cached_tokens": 7}
    made: list[dict[str, Any]] = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": json.dumps(value)}}
        for n, (name, value) in enumerate(calls)
    ]
    finish = "TOOL_CALL" if tools else "COMPLETE"
    content = [{"type": "thinking", "thinking": THOUGHT}] * tools + [{"type": "text", "text": text}]
    if not body.get("stream"):
        message: dict[str, Any] = {"role": "assistant", "content": content} | ({"tool_calls": made} if tools else {})
        return json_reply({"id": "c-1", "finish_reason": finish, "message": message, "usage": counts})

    def part(name: str, index: int, inner: dict[str, Any]) -> bytes:
        return event(name, {"type": name, "index": index, "delta": {"message": inner}})

    parts = [
        event("message-start", {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant"}}})
    ]
    for index, block in enumerate(content):
        kind = block["type"]
        parts.append(part("content-start", index, {"content": {"type": kind, kind: ""}}))
        parts.append(part("content-delta", index, {"content": {kind: block[kind]}}))
        parts.append(event("content-end", {"type": "content-end", "index": index}))
    for index, each in enumerate(made if tools else []):
        arguments = each["function"]["arguments"]
        opened = {**each, "function": {**each["function"], "arguments": ""}}
        parts.append(part("tool-call-start", index, {"tool_calls": opened}))
        parts.append(part("tool-call-delta", index, {"tool_calls": {"function": {"arguments": arguments}}}))
        parts.append(event("tool-call-end", {"type": "tool-call-end", "index": index}))
    ending = {"type": "message-end", "delta": {"finish_reason": finish, "usage": counts}}
    return sse_reply([*parts, event("message-end", ending), data("[DONE]")])

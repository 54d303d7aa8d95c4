"""A canned provider for an agent that runs shell commands: a thought and one command, then two at once, then a last text.

It finds the agent's tool by its name and answers in the format in which it was asked.
"""

from __future__ import annotations

import json
from typing import Any

from tests.provider import Call, Reply, data, event, json_reply, sse_reply
from tests.provider.claude import events_of

COMMANDS = (["echo one-$((20 + 1))"], ["echo two-$((20 + 2))", "echo three-$((20 + 3))"])
LAST = "All three were run: finished-4711."
_COUNTS = {"input_tokens": 1200, "cache_read_input_tokens": 300, "output_tokens": 25}


class Agent:
    """The provider's side. `sent` are the bodies of the agent's own conversation."""

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.sent: list[dict[str, Any]] = []

    def __call__(self, call: Call) -> Reply:
        if call.path.endswith("/count_tokens"):
            return json_reply({"input_tokens": 4321})
        body = call.json
        openai = call.path.endswith("/chat/completions")
        tools = [tool.get("name") or tool["function"]["name"] for tool in body.get("tools", ())]
        if self.tool not in tools:  # a side call: a title, a topic
            return _reply(body, "A title", [], openai)
        self.sent.append(body)
        results = json.dumps(body["messages"]).count('"tool_call_id"' if openai else '"tool_use_id"')
        commands = {0: COMMANDS[0], 1: COMMANDS[1]}.get(results, [])
        return _reply(body, "I will look." if commands else LAST, commands, openai, tool=self.tool, first=results)


def _reply(
    body: dict[str, Any], text: str, commands: list[str], openai: bool, *, tool: str = "", first: int = 0
) -> Reply:
    calls = [
        (f"toolu_{first + n}", tool, {"command": command, "description": "Says a word"})
        for n, command in enumerate(commands)
    ]
    return _in_openais(body, text, calls) if openai else _in_anthropics(body, text, calls)


def _in_anthropics(body: dict[str, Any], text: str, calls: list[tuple[str, str, dict[str, str]]]) -> Reply:
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if calls:
        blocks.insert(0, {"type": "thinking", "thinking": "Let me think.", "signature": "c3R1Yg=="})
    blocks += [{"type": "tool_use", "id": id_, "name": name, "input": value} for id_, name, value in calls]
    reason = "tool_use" if calls else "end_turn"
    if body.get("stream"):
        return sse_reply([event(each["type"], each) for each in events_of(blocks, reason)])
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "stop_sequence": None}
    return json_reply({**head, "content": blocks, "stop_reason": reason, "usage": _COUNTS})


def _in_openais(body: dict[str, Any], text: str, calls: list[tuple[str, str, dict[str, str]]]) -> Reply:
    made = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": json.dumps(value)}}
        for id_, name, value in calls
    ]
    head = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
    usage = {"prompt_tokens": 1500, "completion_tokens": 25, "total_tokens": 1525}
    finish = "tool_calls" if calls else "stop"
    if not body.get("stream"):
        message = {"role": "assistant", "content": text, **({"tool_calls": made} if made else {})}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return json_reply({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": text}]
    deltas += [{"tool_calls": [{**each, "index": index}]} for index, each in enumerate(made)]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in deltas
    ]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}, {"choices": [], "usage": usage}]
    return sse_reply(
        [*(data({**head, "object": "chat.completion.chunk", **chunk}) for chunk in chunks), data("[DONE]")]
    )

"""Histories with thoughts: from Anthropic's blocks to OpenAI's message, and from there to any provider."""

from __future__ import annotations

import json
from typing import Any

from openai.lib.streaming._deltas import accumulate_delta

from adapters import FORMATS, Context, HttpCall, Target, Task
from adapters.providers import PROVIDERS
from adapters.sse import Event
from tests.provider.claude import REDACTED, events_of
from tests.provider.claude import THOUGHT as SIGNED

CONTEXT = Context(1, lambda prefix: prefix + "1")
OPENAI, ANTHROPIC = FORMATS["openai"], FORMATS["anthropic"]
FORMAT = "anthropic-claude-v1"
ONLY_SIGNED = {"type": "thinking", "thinking": "", "signature": "c2lnLTI="}
DETAILS = [
    {"type": "reasoning.text", "text": "I should look.", "signature": "c2lnLTE=", "format": FORMAT, "index": 0},
    {"type": "reasoning.text", "text": "", "signature": "c2lnLTI=", "format": FORMAT, "index": 1},
    {"type": "reasoning.encrypted", "data": "ZW5jLTI=", "format": FORMAT, "index": 2},
]
BLOCKS = [SIGNED, ONLY_SIGNED, REDACTED]
USER = {"role": "user", "content": "hi"}


def written(blocks: list[Any]) -> dict[str, Any]:
    """The message of OpenAI's format for an answer of these blocks."""
    body = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "content": blocks,
        "stop_reason": "tool_use",
    }
    answer = ANTHROPIC.provider[Task.CHAT].decode(json.dumps(body).encode(), CONTEXT)
    message: dict[str, Any] = json.loads(OPENAI.client[Task.CHAT].encode_response(answer))["choices"][0]["message"]
    return message


def streamed(blocks: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The message that OpenAI's own helper adds up, and the deltas that it had."""
    side = ANTHROPIC.provider[Task.CHAT]
    assert side.stream is not None
    decoder = side.stream(target("anthropic"), CONTEXT)
    client = OPENAI.client[Task.CHAT]
    assert client.encode_chunk is not None
    events = []
    for each in events_of(blocks, "tool_use"):
        data = json.dumps(each).encode()
        for chunk in decoder.feed(Event(each["type"], data, b"")):
            events += [json.loads(line[6:]) for line in client.encode_chunk(chunk, False).split(b"\n\n") if line]
    deltas = [choice["delta"] for chunk in events for choice in chunk["choices"]]
    whole: dict[object, object] = {}
    for delta in deltas:
        whole = accumulate_delta(whole, json.loads(json.dumps(delta)))
    return {str(name): value for name, value in whole.items()}, deltas


def target(provider: str, **options: Any) -> Target:
    return Target(PROVIDERS[provider], "m", "http://127.0.0.1:1", options)


def encoded(message: dict[str, Any], provider: str) -> HttpCall:
    """A history with the message, read from OpenAI's format and written for the provider."""
    body = json.dumps({"model": "r", "max_tokens": 9, "messages": [USER, message, USER]}).encode()
    client = OPENAI.client[Task.CHAT]
    at = target(provider)
    side = FORMATS[at.provider.format].provider[Task.CHAT]
    return side.encode(client.decode_request(client.open(body)), at, False, CONTEXT)


def turn(message: dict[str, Any], provider: str = "anthropic") -> Any:
    """What the provider gets as the assistant's turn."""
    return json.loads(encoded(message, provider).body)["messages"][1]

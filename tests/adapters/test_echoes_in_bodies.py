"""Echoes in a body that passes to a provider of its own format: what it refuses is left out, the rest keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, HttpCall, Provider, Target, Task
from adapters.providers import PROVIDERS
from tests.provider.claude import TEXT

OPENAI = FORMATS["openai"]
USER = {"role": "user", "content": "hi"}
DETAILS = [{"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0}]


def patched(message: dict[str, Any], provider: Provider) -> tuple[Any, HttpCall]:
    """A body of OpenAI's format on its way to a provider of the same format."""
    body = json.dumps({"model": "r", "messages": [USER, message]}).encode()
    side = OPENAI.provider[Task.CHAT]
    assert side.patch is not None
    call = side.patch(OPENAI.client[Task.CHAT].open(body), Target(provider, "m", "http://127.0.0.1:1"))
    return json.loads(call.body)["messages"][1], call


MISTRALS = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}


@pytest.mark.parametrize(
    ("provider", "kept"),
    [
        ("openrouter", {"reasoning_content", "reasoning", "reasoning_details", "annotations"}),
        ("openai-compatible", {"reasoning_content", "reasoning", "reasoning_details", "annotations"}),
        ("deepseek", {"reasoning_content", "reasoning", "reasoning_details", "annotations"}),
        ("mistral", set[str]()),
        ("groq", {"reasoning"}),
        ("cerebras", {"reasoning"}),
    ],
)
def test_a_body_that_passes_keeps_what_its_provider_takes(provider: str, kept: set[str]) -> None:
    message = {
        "role": "assistant", "content": "x", "reasoning_content": "hm", "reasoning": "hm", "reasoning_details": DETAILS,
        "annotations": [{"big": 1.0}],
    }  # fmt: skip
    sent, call = patched(message, PROVIDERS[provider])
    assert sent == {name: value for name, value in message.items() if name in kept | {"role", "content"}}
    gone = message.keys() - kept - {"role", "content"}
    assert set(call.left_out) == {f"messages[].{name}" for name in gone}


def test_a_provider_gets_back_its_own_thinking_parts_and_others_do_not() -> None:
    message = {"role": "assistant", "content": [MISTRALS, TEXT]}
    assert patched(message, PROVIDERS["mistral"])[0] == message
    sent, call = patched(message, PROVIDERS["openai"])
    assert sent == {"role": "assistant", "content": [TEXT]}
    assert call.left_out == ("messages[].content[].thinking",)
    assert patched({"role": "assistant", "content": [MISTRALS]}, PROVIDERS["openai"])[0]["content"] == ""


def test_messages_without_an_echo_keep_their_bytes() -> None:
    raw = b'[ {"role":"user",  "content":"reasoning_content 1.0e-1 \\u00e9"} ]'
    body = b'{"model":"r","messages":' + raw + b"}"
    side = OPENAI.provider[Task.CHAT]
    assert side.patch is not None
    call = side.patch(OPENAI.client[Task.CHAT].open(body), Target(PROVIDERS["mistral"], "m", "http://127.0.0.1:1"))
    assert raw in call.body


def test_a_strict_provider_gets_no_member_of_an_earlier_answer_that_is_null() -> None:
    """As OpenAI's SDK dumps one: `message.model_dump()`."""
    dumped = {
        "content": "x", "refusal": None, "role": "assistant", "annotations": None, "audio": None, "function_call": None,
        "tool_calls": None, "name": None,
    }  # fmt: skip
    for provider in ("mistral", "groq", "cerebras"):
        sent, call = patched(dumped, PROVIDERS[provider])
        assert sent == {"content": "x", "role": "assistant"}
        assert call.left_out == ()
    calling = {"role": "assistant", "content": None, "tool_calls": [{"id": "abcdefghi", "type": "function"}]}
    assert patched(calling, PROVIDERS["groq"])[0] == calling, "content may be null beside calls"

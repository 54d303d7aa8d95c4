"""A client that keeps no thoughts can call tools of a Claude that thinks: the loop goes on without thinking, and it is said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Kind, Task
from adapters.contract import Envelope, HttpCall, Target
from adapters.providers import PROVIDERS
from tests.adapters.laws import CONTEXT

TARGET = Target(PROVIDERS["anthropic"], "claude-sonnet-4-5", "https://api.anthropic.com")
MANUAL = {"type": "enabled", "budget_tokens": 1024}
USER = {"role": "user", "content": "hi"}
RESULT = {"role": "tool", "tool_call_id": "toolu_1", "content": "42"}
FUNCTION = {"name": "find", "arguments": "{}"}
CALLS = {"tool_calls": [{"id": "toolu_1", "type": "function", "function": FUNCTION}]}
LOST = {"role": "assistant", "content": None, **CALLS}
DETAIL = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0}
KEPT = {**LOST, "reasoning_details": [DETAIL]}
# What is left of a streamed thought where a client keeps the last piece of each member.
LAST_PIECE = {**LOST, "reasoning_details": [{"type": "reasoning.text", "signature": "s", "index": 0}]}


def encoded(*messages: dict[str, Any], thinking: Any = MANUAL, target: Target = TARGET) -> HttpCall:
    members = {"model": "m", "max_tokens": 4096, "messages": [USER, *messages], "thinking": thinking}
    raw = {name: json.dumps(value).encode() for name, value in members.items()}
    request = FORMATS["openai"].client[Task.CHAT].decode_request(Envelope(raw, "m", False, False))
    return FORMATS["anthropic"].provider[Task.CHAT].encode(request, target, False, CONTEXT)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param((LOST, RESULT), id="the client keeps no thoughts"),
        pytest.param(({**LOST, "content": "Let me see.", "reasoning_content": "hm"}, RESULT), id="it keeps the text"),
        pytest.param((LAST_PIECE, RESULT), id="it keeps the last piece"),
        pytest.param((LOST, RESULT, LOST, RESULT), id="the loop goes on"),
        pytest.param((KEPT, RESULT, {"role": "assistant", "content": "ok"}, USER, LOST, RESULT), id="the later turn"),
    ],
)
def test_a_loop_whose_thoughts_are_lost_goes_on_without_thinking(messages: tuple[dict[str, Any], ...]) -> None:
    call = encoded(*messages)
    assert "thinking" not in json.loads(call.body)
    assert "thinking" in call.left_out


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param((), id="no loop"),
        pytest.param((KEPT, RESULT), id="the thoughts are there"),
        pytest.param((KEPT, RESULT, LOST, RESULT), id="Claude thinks once a turn"),
        pytest.param(({"role": "assistant", "content": "ok"}, USER), id="a plain turn needs none"),
        pytest.param((LOST, RESULT, {"role": "assistant", "content": "ok"}, USER), id="the loop is over"),
    ],
)
def test_thinking_stays_where_claude_takes_it(messages: tuple[dict[str, Any], ...]) -> None:
    call = encoded(*messages)
    assert json.loads(call.body)["thinking"] == MANUAL
    assert "thinking" not in call.left_out


def test_adaptive_thinking_needs_no_thoughts() -> None:
    call = encoded(LOST, RESULT, thinking={"type": "adaptive"})
    assert json.loads(call.body)["thinking"] == {"type": "adaptive"}


def test_a_strict_route_refuses() -> None:
    with pytest.raises(GatewayError) as refused:
        encoded(LOST, RESULT, target=replace(TARGET, options={"strict": True}))
    assert (refused.value.kind, refused.value.param) == (Kind.UNSUPPORTED_PARAMETER, "thinking")

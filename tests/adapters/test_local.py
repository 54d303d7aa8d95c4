"""The embedded model ignores nothing: what its server does not read is refused by name, or left out where it asks for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Kind, Task
from adapters.contract import Envelope, HttpCall, Target
from adapters.providers import PROVIDERS
from tests.adapters.laws import CONTEXT

TARGET = Target(PROVIDERS["local"], "smollm2", "http://127.0.0.1:1/v1")
OPENAI = FORMATS["openai"]
FUNCTION = {"name": "find", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": FUNCTION}]
BODIES: dict[Task, dict[str, Any]] = {
    Task.CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    Task.COMPLETIONS: {"model": "m", "prompt": "One, two,"},
    Task.EMBEDDINGS: {"model": "m", "input": "cats"},
}


def passed(task: Task, members: dict[str, Any], target: Target = TARGET) -> HttpCall:
    """By REST: the caller's bytes."""
    patch = OPENAI.provider[task].patch
    assert patch is not None
    return patch(envelope(task, members), target)


def typed(task: Task, members: dict[str, Any], target: Target = TARGET) -> HttpCall:
    """By gRPC: the canonical message."""
    request = OPENAI.client[task].decode_request(envelope(task, members))
    return OPENAI.provider[task].encode(request, target, False, CONTEXT)


def envelope(task: Task, members: dict[str, Any]) -> Envelope:
    raw = {name: json.dumps(value).encode() for name, value in {**BODIES[task], **members}.items()}
    return Envelope(raw, "m", False, False)


@pytest.mark.parametrize("send", [passed, typed])
@pytest.mark.parametrize(
    ("task", "members"),
    [
        (Task.CHAT, {"tools": TOOLS}),
        (Task.CHAT, {"tools": TOOLS, "tool_choice": "required"}),
        (Task.CHAT, {"tool_choice": "required"}),
        (Task.CHAT, {"functions": [FUNCTION]}),
        (Task.CHAT, {"reasoning_effort": "low"}),
        (Task.CHAT, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (Task.CHAT, {"verbosity": "low"}),
        (Task.CHAT, {"service_tier": "flex"}),
        (Task.CHAT, {"store": True}),
        (Task.CHAT, {"modalities": ["text", "audio"]}),
        (Task.CHAT, {"audio": {"voice": "alloy", "format": "wav"}}),
        (Task.CHAT, {"web_search_options": {}}),
        (Task.CHAT, {"nobody_knows": 1}),
        (Task.COMPLETIONS, {"suffix": "end"}),
        (Task.COMPLETIONS, {"echo": True}),
        (Task.COMPLETIONS, {"best_of": 2}),
        (Task.EMBEDDINGS, {"dimensions": 16}),
    ],
)
def test_what_the_server_would_ignore_is_refused_by_name(send: Any, task: Task, members: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as refused:
        send(task, members)
    assert refused.value.kind is Kind.UNSUPPORTED_PARAMETER
    assert refused.value.param in members
    assert f"list '{refused.value.param}'" in refused.value.message


@pytest.mark.parametrize("send", [passed, typed])
@pytest.mark.parametrize(
    ("task", "members"),
    [
        (Task.CHAT, {"user": "u", "metadata": {"a": "b"}, "prompt_cache_key": "k", "safety_identifier": "s"}),
        (Task.CHAT, {"parallel_tool_calls": True, "service_tier": "auto", "verbosity": "medium", "store": False}),
        (Task.CHAT, {"modalities": ["text"], "reasoning_effort": "medium"}),
        (Task.CHAT, {"tool_choice": "none", "parallel_tool_calls": False}),
        (Task.COMPLETIONS, {"suffix": "", "echo": False, "user": "u"}),
        (Task.EMBEDDINGS, {"user": "u"}),
    ],
)
def test_what_asks_for_nothing_is_left_out_and_said(send: Any, task: Task, members: dict[str, Any]) -> None:
    call = send(task, members)
    assert members.keys().isdisjoint(json.loads(call.body))
    assert set(call.left_out) == members.keys()


@pytest.mark.parametrize("send", [passed, typed])
@pytest.mark.parametrize(
    ("task", "members"),
    [
        (Task.CHAT, {"max_tokens": 9, "temperature": 0.5, "top_p": 0.5, "n": 2, "seed": 1, "stop": ["x"]}),
        (Task.CHAT, {"logprobs": True, "top_logprobs": 2, "logit_bias": {"1": -100}, "max_completion_tokens": 9}),
        (Task.CHAT, {"frequency_penalty": 0.5, "presence_penalty": 0.5, "top_k": 40, "grammar": 'root ::= "a"'}),
        (Task.CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}),
        (Task.COMPLETIONS, {"logprobs": 2, "n": 2, "max_tokens": 9}),
        (Task.EMBEDDINGS, {"encoding_format": "base64"}),
    ],
)
def test_what_the_server_reads_is_sent(send: Any, task: Task, members: dict[str, Any]) -> None:
    call = send(task, members)
    assert {name: json.loads(call.body)[name] for name in members} == members
    assert call.left_out == ()


def test_a_route_may_drop_the_tools() -> None:
    target = Target(TARGET.provider, "smollm2", TARGET.base_url, {"drop_params": ["tools", "tool_choice"]})
    call = passed(Task.CHAT, {"tools": TOOLS, "tool_choice": "auto"}, target)
    assert "tools" not in json.loads(call.body)
    assert set(call.left_out) == {"tools", "tool_choice"}

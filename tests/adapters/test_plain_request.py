"""The short way to write a typed chat request writes what the long way writes, or nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from adapters import Context, GatewayError, Target
from adapters.openai.chat_request import any_request
from adapters.openai.plain_request import encode, plain_request
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: f"{prefix}new", "asked-for")
CHANCE = random.Random(25)
OPENAI_LIKE = sorted(name for name, provider in PROVIDERS.items() if provider.format == "openai")
PART = pb.ContentPart
# What a request may have beyond plain messages; of most the short way knows nothing.
SETTINGS: list[dict[str, Any]] = [
    {"temperature": 0.5},
    {"temperature": float("nan")},
    {"top_p": 1.0},
    {"max_tokens": 0},
    {"max_completion_tokens": 7},
    {"seed": -(2**60)},
    {"n": 1},
    {"n": 0},
    {"logprobs": True},
    {"user": "u"},
    {"verbosity": "medium"},
    {"parallel_tool_calls": True},
    {"service_tier": "auto"},
    {"logit_bias_json": "{}"},
    {"logit_bias_json": "no JSON"},
    {"stop": ["x"]},
    {"metadata": {"a": "b"}},
    {"modalities": ["text"]},
    {"extra_json": '{"top_k":1}'},
    {"extra_json": '{"model":"x"}'},
    {"stream_options": pb.StreamOptions(include_usage=False)},
    {"tools": [pb.Tool(function=pb.FunctionTool(name="f"))]},
    {"tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_NONE)},
    {"response_format": pb.ResponseFormat(other_json='{"type":"grammar"}')},
]
MESSAGES = [
    pb.Message(role=pb.ROLE_USER, content=[PART(text="Größe \u2713")]),
    pb.Message(role=pb.ROLE_SYSTEM, content=[PART(text="")]),
    pb.Message(role=pb.ROLE_DEVELOPER, content=[PART(text="developer")]),
    pb.Message(role=pb.ROLE_ASSISTANT, content=[PART(text="answer")]),
    pb.Message(role=pb.ROLE_ASSISTANT, content=[PART(text="")]),
    pb.Message(role=pb.ROLE_TOOL, content=[PART(text="result")]),
    pb.Message(role=pb.ROLE_TOOL, content=[PART(text="result")], tool_call_id="c"),
    pb.Message(role=pb.ROLE_USER, content=[PART(text="a"), PART(text="b")]),
    pb.Message(role=pb.ROLE_USER, content=[PART(text="a", extra_json='{"cache_control":{}}')]),
    pb.Message(role=pb.ROLE_USER, content=[PART(text="a")], name="anna"),
    pb.Message(role=pb.ROLE_USER, content=[PART()]),
    pb.Message(role=pb.ROLE_USER),
    pb.Message(content=[PART(text="nobody's")]),
    pb.Message(role=99, content=[PART(text="unknown")]),  # type: ignore[arg-type]  # proto3's enums are open
    pb.Message(role=pb.ROLE_ASSISTANT, content=[PART(text="a")], extra_json='{"reasoning_content":"b"}'),
    pb.Message(role=pb.ROLE_ASSISTANT, content=[PART(thinking=pb.Thinking(text="t")), PART(text="a")]),
    pb.Message(role=pb.ROLE_ASSISTANT, content=[PART(refusal="no")]),
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"strict": True},
    {"drop_params": ("user", "temperature", "route", "thinking")},
    {"query": {"api-version": "2024-02-01"}},
]


def outcome(request: pb.ChatRequest, target: Target, stream: bool, *, short: bool) -> Any:
    """What is sent, or the refusal."""
    try:
        return encode(request, target, stream, CONTEXT) if short else any_request(request, target, stream)
    except GatewayError as error:
        return error.kind, error.message, error.param


@pytest.mark.parametrize("provider", OPENAI_LIKE)
def test_both_ways_write_the_same(provider: str) -> None:
    for _ in range(150):
        chosen = CHANCE.choices(MESSAGES[:7] if CHANCE.random() < 0.7 else MESSAGES, k=CHANCE.randint(0, 3))
        fields: dict[str, Any] = {}
        for each in CHANCE.sample(SETTINGS, CHANCE.choice((0, 0, 1, 2))):
            fields |= each
        request = pb.ChatRequest(route="chat", messages=chosen, **fields)
        target = Target(PROVIDERS[provider], "m", "http://h", CHANCE.choice(OPTIONS))
        for stream in (False, True):
            assert outcome(request, target, stream, short=True) == outcome(request, target, stream, short=False), (
                request
            )


def test_most_requests_are_plain() -> None:
    target = Target(PROVIDERS["openai"], "m", "http://h")
    request = pb.ChatRequest(route="chat", messages=[MESSAGES[1], MESSAGES[0]], temperature=0.5, max_tokens=9)
    assert plain_request(request, target) is not None
    request.messages.add(role=pb.ROLE_USER)
    assert plain_request(request, target) is None

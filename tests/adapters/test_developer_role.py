"""The role developer becomes system where a provider does not know it, in typed calls and in bodies that pass."""

from __future__ import annotations

import json

import pytest

from adapters import FORMATS, Context, Target, Task
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(0, lambda prefix: prefix + "1")
SIDE = FORMATS["openai"].provider[Task.CHAT]
BODY = b'{"model":"r","messages":[{"role":"developer","content":"Be \\u0062rief."},{"role":"user","content":"x"}]}'


def roles(provider: str) -> tuple[list[str], list[str]]:
    """As they are sent of a typed call, and of a body that passes."""
    at = Target(PROVIDERS[provider], "m", "http://h")
    messages = [
        pb.Message(role=pb.ROLE_DEVELOPER, content=[pb.ContentPart(text="Be brief.")]),
        pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="x")]),
    ]
    assert SIDE.patch is not None
    typed = SIDE.encode(pb.ChatRequest(messages=messages), at, False, CONTEXT).body
    passed = SIDE.patch(FORMATS["openai"].client[Task.CHAT].open(BODY), at).body
    assert b"Be \\u0062rief." in passed
    typed_roles, passed_roles = ([one["role"] for one in json.loads(body)["messages"]] for body in (typed, passed))
    return typed_roles, passed_roles


@pytest.mark.parametrize("provider", ["deepseek", "mistral", "perplexity", "ollama", "vllm"])
def test_a_provider_that_knows_system_only_gets_system(provider: str) -> None:
    assert roles(provider) == (["system", "user"], ["system", "user"])


@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_openai_gets_developer(provider: str) -> None:
    assert roles(provider) == (["developer", "user"], ["developer", "user"])

"""Chat requests to Cohere, for tests of what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Context, GatewayError, HttpCall, Target, Task
from adapters.cohere import FORMAT
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1", "command-a")
USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])
PLAIN = {"model": "command-a", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
F = pb.Tool(function=pb.FunctionTool(name="f", parameters_json="{}"))
G = pb.Tool(function=pb.FunctionTool(name="g", parameters_json="{}"))


def target(base: str = "https://api.cohere.com", **options: Any) -> Target:
    return Target(PROVIDERS["cohere"], "command-a", base, options)


def call_of(request: pb.ChatRequest, stream: bool = False, **options: Any) -> HttpCall:
    return FORMAT.provider[Task.CHAT].encode(request, target(**options), stream, CONTEXT)


def body_of(request: pb.ChatRequest, **how: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(call_of(request, **how).body)
    return body


def chat(**fields: Any) -> pb.ChatRequest:
    return pb.ChatRequest(**({"messages": [USER]} | fields))


def refusal_of(request: pb.ChatRequest, **how: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call_of(request, **how)
    return caught.value


def says(*parts: pb.ContentPart, role: pb.Role = pb.ROLE_USER, **more: Any) -> pb.ChatRequest:
    return chat(messages=[pb.Message(role=role, content=parts, **more)])


def message_of(request: pb.ChatRequest, **how: Any) -> Any:
    return body_of(request, **how)["messages"][0]

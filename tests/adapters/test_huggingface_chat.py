"""Text Generation Inference's Messages API, where it is not quite OpenAI's chat."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Context, GatewayError, Kind, Target, Task
from adapters.huggingface import FORMAT
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1", "mistral-7b")
USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])
PLAIN = {"model": "mistral-7b", "messages": [{"role": "user", "content": "Hi"}]}
SCHEMA = pb.JsonSchemaFormat(name="n", strict=True, schema_json='{"type":"object","maximum":1.50}')


def body_of(drop_params: tuple[str, ...] = (), **fields: Any) -> Any:
    row = PROVIDERS["huggingface-text-generation-inference"]
    target = Target(row, "mistral-7b", "http://h", {"drop_params": drop_params})
    request = pb.ChatRequest(messages=[USER], **fields)
    before = request.SerializeToString(deterministic=True)
    body = json.loads(FORMAT.provider[Task.CHAT].encode(request, target, False, CONTEXT).body)
    assert request.SerializeToString(deterministic=True) == before
    return body


def test_a_schema_for_the_answer_stands_where_the_server_looks_for_it() -> None:
    body = body_of(response_format=pb.ResponseFormat(json_schema=SCHEMA))
    assert body == PLAIN | {"response_format": {"type": "json_object", "value": {"type": "object", "maximum": 1.5}}}
    grammar = {"type": "regex", "value": "a+"}
    own = pb.ResponseFormat(other_json=json.dumps(grammar))
    assert body_of(response_format=own) == PLAIN | {"response_format": grammar}
    assert body_of(response_format=pb.ResponseFormat(text=pb.TextFormat())) == PLAIN


def test_allowed_tools_are_those_that_are_sent() -> None:
    tools = [pb.Tool(function=pb.FunctionTool(name=name, parameters_json="{}")) for name in ("a", "b")]
    named = {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}
    choice = pb.ToolChoice(other_json=json.dumps({"type": "allowed_tools", "allowed_tools": named}))
    body = body_of(tools=tools, tool_choice=choice)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["b"]
    assert body["tool_choice"] == "required"


def test_the_newer_name_of_the_limit_becomes_the_one_it_knows() -> None:
    assert body_of(max_completion_tokens=5) == PLAIN | {"max_tokens": 5}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logit_bias_json", '{"5": 1}'),
        ("response_format", pb.ResponseFormat(json_object=pb.JsonObjectFormat())),
    ],
)
def test_what_the_server_would_pass_over_is_refused_by_name_unless_dropped(field: str, value: Any) -> None:
    name = field.removesuffix("_json")
    with pytest.raises(GatewayError) as caught:
        body_of(**{field: value})
    assert caught.value.kind is Kind.UNSUPPORTED_PARAMETER
    assert (caught.value.param or "").startswith(name)
    assert body_of((name,), **{field: value}) == PLAIN


def test_what_it_does_anyway_is_left_out() -> None:
    assert body_of(n=1, parallel_tool_calls=True) == PLAIN

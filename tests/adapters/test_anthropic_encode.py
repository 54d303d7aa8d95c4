"""What a canonical chat request becomes for Anthropic's Messages API, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.anthropic import FORMAT
from adapters.contract import Context, HttpCall, Target, Task
from adapters.errors import GatewayError, Kind
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
CHAT = FORMAT.provider[Task.CHAT]
USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Hi")])


def call_of(
    request: pb.ChatRequest, model: str = "claude-sonnet-4-5", stream: bool = False, **options: Any
) -> HttpCall:
    target = Target(PROVIDERS["anthropic"], model, "https://api.anthropic.com", options)
    return CHAT.encode(request, target, stream, CONTEXT)


def body_of(request: pb.ChatRequest, **how: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(call_of(request, **how).body)
    return body


def refusal_of(request: pb.ChatRequest, **how: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call_of(request, **how)
    return caught.value


def message(role: pb.Role, text: str, **more: Any) -> pb.Message:
    return pb.Message(role=role, content=[pb.ContentPart(text=text)], **more)


def test_a_plain_question_goes_to_the_messages_path_with_only_what_the_caller_said() -> None:
    call = call_of(pb.ChatRequest(messages=[USER], max_tokens=5))
    assert call.url == "https://api.anthropic.com/v1/messages"
    assert json.loads(call.body) == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_a_base_url_that_already_ends_in_v1_is_not_doubled() -> None:
    target = Target(PROVIDERS["anthropic"], "m", "https://proxy.example/v1")
    call = CHAT.encode(pb.ChatRequest(messages=[USER], max_tokens=5), target, False, CONTEXT)
    assert call.url == "https://proxy.example/v1/messages"


def test_system_and_developer_messages_are_hoisted_in_their_order_wherever_they_stand() -> None:
    messages = [message(pb.ROLE_SYSTEM, "one"), USER, message(pb.ROLE_DEVELOPER, "two")]
    body = body_of(pb.ChatRequest(messages=messages, max_tokens=5))
    assert body["system"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert [turn["role"] for turn in body["messages"]] == ["user"]


def test_results_of_parallel_calls_and_the_next_question_are_one_user_turn() -> None:
    calls = [pb.ToolCall(id="a", name="f", arguments_json="{}"), pb.ToolCall(id="b", name="g")]
    messages = [
        USER,
        pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="")], tool_calls=calls),
        message(pb.ROLE_TOOL, "1", tool_call_id="a", tool_error=True),
        message(pb.ROLE_TOOL, "2", tool_call_id="b", name="g"),
        message(pb.ROLE_USER, "go on"),
    ]
    body = body_of(pb.ChatRequest(messages=messages, max_tokens=5))
    assert body["messages"][1]["content"] == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    assert body["messages"][2:] == [
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1", "is_error": True},
                {"type": "tool_result", "tool_use_id": "b", "content": "2"},
                {"type": "text", "text": "go on"},
            ],
        }
    ]


def test_numbers_in_arguments_and_schemas_keep_their_spelling() -> None:
    call = pb.ToolCall(id="a", name="f", arguments_json='{"x": 12345678901234567890123, "y": 1.0e5}')
    tool = pb.Tool(function=pb.FunctionTool(name="f", parameters_json='{"type":"object","maximum":1.50}'))
    request = pb.ChatRequest(messages=[USER, pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[call])], tools=[tool])
    body = call_of(request).body
    assert b'"input":{"x": 12345678901234567890123, "y": 1.0e5}' in body
    assert b'"input_schema":{"type":"object","maximum":1.50}' in body


@pytest.mark.parametrize("arguments", ["[1]", "nonsense", '"text"', "{", "{} {}"])
def test_tool_arguments_that_are_not_one_object_go_as_a_member_of_one(arguments: str) -> None:
    """A model's mistake, which its agent sends back with every further turn: the conversation goes on."""
    call = pb.ToolCall(id="a", name="f", arguments_json=arguments)
    request = pb.ChatRequest(messages=[USER, pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[call])])
    for strict in (False, True):
        sent = call_of(request, strict=strict)
        (block,) = json.loads(sent.body)["messages"][1]["content"]
        assert block["input"] == {"_malformed_arguments": arguments}
        assert sent.left_out == ("messages[].tool_calls[].function.arguments",)


def test_images_and_documents_go_by_value_by_address_and_by_id() -> None:
    parts = [
        pb.ContentPart(
            image=pb.Image(data=b"\x89PNG", mime_type="image/png"), extra_json='{"cache_control":{"type":"x"}}'
        ),
        pb.ContentPart(image=pb.Image(url="https://example.com/a.png", detail="auto")),
        pb.ContentPart(image=pb.Image(url="data:image/gif;base64,R0lG")),
        pb.ContentPart(file=pb.File(data=b"%PDF", mime_type="application/pdf", filename="a.pdf")),
        pb.ContentPart(file=pb.File(data="größe".encode(), mime_type="text/plain")),
        pb.ContentPart(file=pb.File(file_id="file_1")),
    ]
    body = body_of(pb.ChatRequest(messages=[pb.Message(role=pb.ROLE_USER, content=parts)], max_tokens=5))
    png = {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    gif = {"type": "base64", "media_type": "image/gif", "data": "R0lG"}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    assert body["messages"][0]["content"] == [
        {"type": "image", "source": png, "cache_control": {"type": "x"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "image", "source": gif},
        {"type": "document", "source": pdf, "title": "a.pdf"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "größe"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ]


def test_signed_and_redacted_thinking_goes_back_unchanged_and_unsigned_thinking_is_left_out_and_named() -> None:
    parts = [
        pb.ContentPart(thinking=pb.Thinking(text="", signature=b"sig")),
        pb.ContentPart(thinking=pb.Thinking(redacted=b"data")),
        pb.ContentPart(thinking=pb.Thinking(text="mine")),
    ]
    history = pb.ChatRequest(messages=[USER, pb.Message(role=pb.ROLE_ASSISTANT, content=parts)], max_tokens=5)
    assert call_of(history).left_out == ("messages[].content[].thinking",)
    assert body_of(history)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "", "signature": "sig"},
        {"type": "redacted_thinking", "data": "data"},
    ]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_AUTO)}, {"type": "auto"}),
        ({"tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED)}, {"type": "any"}),
        ({"tool_choice": pb.ToolChoice(function_name="f")}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_NONE), "parallel_tool_calls": False},
            {"type": "none"},
        ),
    ],
)
def test_tool_choice_and_parallel_calls_are_one_member(given: dict[str, Any], sent: dict[str, Any]) -> None:
    tool = pb.Tool(function=pb.FunctionTool(name="f"))
    body = body_of(pb.ChatRequest(messages=[USER], tools=[tool], max_tokens=5, **given))
    assert body["tool_choice"] == sent
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-3-opus-20240229", 4096),
        ("claude-3-5-sonnet-latest", 8192),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", 32_000),
        ("claude-opus-4-6", 128_000),
        ("claude-sonnet-4-5", 64_000),
        ("claude-of-the-future", 32_000),
        ("other", 4096),
    ],
)
def test_without_max_tokens_the_model_may_use_its_whole_output_limit(model: str, limit: int) -> None:
    assert body_of(pb.ChatRequest(messages=[USER]), model=model)["max_tokens"] == limit
    assert body_of(pb.ChatRequest(messages=[USER]), model=model, default_max_tokens=77)["max_tokens"] == 77
    assert body_of(pb.ChatRequest(messages=[USER], max_completion_tokens=9), model=model)["max_tokens"] == 9


def test_effort_schema_and_further_output_members_share_output_config() -> None:
    schema = '{"type": "object", "properties": {"b": {}, "a": {}}}'
    wanted = pb.ResponseFormat(json_schema=pb.JsonSchemaFormat(name="s", schema_json=schema))
    request = pb.ChatRequest(messages=[USER], reasoning_effort="high", response_format=wanted, max_tokens=5)
    request.extra_json = '{"output_config": {"task_budget": {"total": 1}}, "top_k": 3}'
    body = body_of(request)
    assert body["output_config"] == {
        "effort": "high",
        "format": {"type": "json_schema", "schema": json.loads(schema)},
        "task_budget": {"total": 1},
    }
    assert body["top_k"] == 3
    assert f'"schema":{schema}'.encode() in call_of(request).body


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ('{"max_tokens": 1}', "max_tokens"),
        ('{"system": "x"}', "system"),
        ('{"metadata": {}}', "metadata"),
        ("[]", "extra_json"),
        ("{", "extra_json"),
    ],
)
def test_extra_members_may_not_name_what_a_field_says_and_must_be_an_object(extra: str, param: str) -> None:
    error = refusal_of(pb.ChatRequest(messages=[USER], max_tokens=5, extra_json=extra))
    assert (error.kind, error.param) == (Kind.INVALID_REQUEST, param)


REFUSED: dict[str, Any] = {
    "n": 2,
    "seed": 1,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "logit_bias_json": '{"5": 1}',
    "logprobs": True,
    "top_logprobs": 2,
    "modalities": ["text", "audio"],
    "audio": pb.AudioOutput(voice="alloy"),
    "store": True,
    "verbosity": "low",
    "service_tier": "flex",
    "reasoning_effort": "most",
}
LEFT_OUT: dict[str, Any] = {
    "prediction_json": "{}",
    "prompt_cache_key": "k",
    "stream_options": pb.StreamOptions(include_obfuscation=True),
    "metadata": {"team": "a"},
    "parallel_tool_calls": False,  # without tools
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_the_format_cannot_say_is_refused_by_name_unless_the_route_drops_it(field: str) -> None:
    name = field.removesuffix("_json")
    request = pb.ChatRequest(messages=[USER], max_tokens=5, **{field: REFUSED[field]})
    error = refusal_of(request)
    assert error.kind is Kind.UNSUPPORTED_PARAMETER
    assert (error.param or "").startswith(name)
    assert "anthropic" in error.message
    plain = body_of(pb.ChatRequest(messages=[USER], max_tokens=5))
    assert body_of(request, drop_params=[name]) == plain


@pytest.mark.parametrize("field", LEFT_OUT)
def test_what_asks_for_nothing_is_left_out_and_said(field: str) -> None:
    request = pb.ChatRequest(messages=[USER], max_tokens=5, **{field: LEFT_OUT[field]})
    assert body_of(request) == body_of(pb.ChatRequest(messages=[USER], max_tokens=5))
    (name,) = call_of(request).left_out
    assert name.startswith(field.removesuffix("_json"))


def _filled(name: str) -> Any:
    special: dict[str, Any] = {
        "messages": [USER, USER],
        "tools": [pb.Tool(function=pb.FunctionTool(name="f"))],
        "tool_choice": pb.ToolChoice(function_name="f"),
        "response_format": pb.ResponseFormat(json_schema=pb.JsonSchemaFormat(schema_json="{}")),
        "stop": ["x"],
        "reasoning_effort": "low",
        "service_tier": "auto",
        "metadata": {"user_id": "u"},
        "extra_json": '{"top_k": 1}',
        "max_tokens": 9,
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.5,
        "user": "u",
        "safety_identifier": "u",
    }
    return special[name]


def test_every_field_of_the_request_is_either_sent_or_refused() -> None:
    plain = body_of(pb.ChatRequest(messages=[USER]))
    for field in pb.ChatRequest.DESCRIPTOR.fields:
        if field.name == "route" or field.name in {**REFUSED, **LEFT_OUT}:
            continue  # the gateway's own, and the tables above
        request = pb.ChatRequest(**({"messages": [USER]} | {field.name: _filled(field.name)}))
        assert body_of(request) != plain, field.name


def test_a_system_only_or_empty_conversation_is_an_invalid_request() -> None:
    assert refusal_of(pb.ChatRequest()).kind is Kind.INVALID_REQUEST
    assert refusal_of(pb.ChatRequest(messages=[message(pb.ROLE_SYSTEM, "x")])).kind is Kind.INVALID_REQUEST
    assert refusal_of(pb.ChatRequest(messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart()])])).param == (
        "messages[0].content[0]"
    )


def test_encoding_leaves_the_request_alone_and_streaming_only_adds_stream() -> None:
    request = pb.ChatRequest(messages=[USER, USER], max_tokens=5, extra_json='{"top_k":1}')
    before = request.SerializeToString(deterministic=True)
    assert body_of(request, stream=True) == body_of(request) | {"stream": True}
    assert request.SerializeToString(deterministic=True) == before

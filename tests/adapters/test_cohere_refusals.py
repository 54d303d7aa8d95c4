"""What Cohere's /v2/chat cannot say is refused by name; every field of the contract is either sent or refused."""

from __future__ import annotations

from typing import Any

import pytest

from adapters import Kind
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.cohere_calls import PLAIN, USER, F, body_of, call_of, chat, message_of, refusal_of, says

REFUSED: dict[str, Any] = {
    "n": 2,
    "logit_bias_json": '{"5": 1}',
    "top_logprobs": 2,
    "modalities": ["text", "audio"],
    "audio": pb.AudioOutput(voice="alloy"),
    "store": True,
    "service_tier": "flex",
    "verbosity": "low",
    "reasoning_effort": "low",
}
LEFT_OUT: dict[str, Any] = {
    "prediction_json": "{}",
    "metadata": {"team": "a"},
    "user": "u",
    "safety_identifier": "u",
    "prompt_cache_key": "k",
    "parallel_tool_calls": False,  # without tools
    "stream_options": pb.StreamOptions(include_obfuscation=True),
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_the_format_cannot_say_is_refused_by_name_unless_the_route_drops_it(field: str) -> None:
    name = field.removesuffix("_json")
    request = chat(**{field: REFUSED[field]})
    error = refusal_of(request)
    assert error.kind is Kind.UNSUPPORTED_PARAMETER
    assert (error.param or "").startswith(name)
    assert "'cohere'" in error.message
    assert body_of(request, drop_params=[name]) == PLAIN


SENT: dict[str, Any] = {
    "messages": [USER, USER],
    "tools": [F],
    "tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED),
    "response_format": pb.ResponseFormat(json_object=pb.JsonObjectFormat()),
    "stop": ["x"],
    "seed": 1,
    "temperature": 0.5,
    "top_p": 0.5,
    "max_tokens": 9,
    "max_completion_tokens": 9,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "logprobs": True,
    "extra_json": '{"k": 1}',
}


def test_every_field_of_the_request_is_either_sent_or_refused() -> None:
    fields = {field.name for field in pb.ChatRequest.DESCRIPTOR.fields} - {"route"}
    assert fields == SENT.keys() | REFUSED.keys() | LEFT_OUT.keys()
    for name, value in SENT.items():
        assert body_of(chat(**{name: value})) != PLAIN, name


@pytest.mark.parametrize("field", LEFT_OUT)
def test_what_asks_for_nothing_is_left_out_and_said(field: str) -> None:
    request = chat(**{field: LEFT_OUT[field]})
    assert body_of(request) == PLAIN
    (name,) = call_of(request).left_out
    assert name.startswith(field.removesuffix("_json"))


def test_a_value_that_asks_for_what_the_provider_does_anyway_is_left_out_and_said() -> None:
    fields = {"n": 1, "store": False, "service_tier": "auto", "modalities": ["text"], "top_logprobs": 0}
    request = chat(**fields, parallel_tool_calls=True, tools=[F], reasoning_effort="medium")
    assert body_of(request) == body_of(chat(tools=[F]))
    assert set(call_of(request).left_out) == {*fields, "parallel_tool_calls", "reasoning_effort"}


FILE = pb.ContentPart(file=pb.File(data=b"%PDF", mime_type="application/pdf"))
AUDIO = pb.ContentPart(audio=pb.Audio(data=b"x", format="wav"))
STORED = pb.ContentPart(image=pb.Image(file_id="1"))


@pytest.mark.parametrize(("part", "name"), [(FILE, "file"), (AUDIO, "input_audio"), (STORED, "image_url")])
def test_parts_it_cannot_take_are_refused_by_name_unless_dropped(part: pb.ContentPart, name: str) -> None:
    request = says(pb.ContentPart(text="a"), part)
    error = refusal_of(request)
    assert (error.kind, error.param) == (Kind.UNSUPPORTED_PARAMETER, f"messages[0].content[1].{name}")
    assert message_of(request, drop_params=[name]) == {"role": "user", "content": "a"}


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (pb.ChatRequest(), "messages"),
        (says(role=pb.ROLE_TOOL), "messages[0].tool_call_id"),
        (says(tool_calls=[pb.ToolCall()]), "messages[0].tool_calls"),
        (says(tool_call_id="a"), "messages[0].tool_call_id"),
        (says(pb.ContentPart()), "messages[0].content[0]"),
        (says(pb.ContentPart(image=pb.Image(data=b"x"))), "messages[0].content[0].image_url"),
        (says(pb.ContentPart(image=pb.Image())), "messages[0].content[0].image_url"),
        (says(pb.ContentPart(other_json="[]")), "messages[0].content[0].other_json"),
        (chat(messages=[pb.Message()]), "messages[0].role"),
        (chat(max_tokens=1, max_completion_tokens=1), "max_completion_tokens"),
        (chat(temperature=float("nan")), "temperature"),
        (chat(tools=[pb.Tool()]), "tools[0]"),
        (chat(tools=[pb.Tool(function=pb.FunctionTool())]), "tools[0].function.name"),
        (chat(tool_choice=pb.ToolChoice()), "tool_choice"),
        (chat(response_format=pb.ResponseFormat()), "response_format"),
        (chat(extra_json="[]"), "extra_json"),
        (chat(extra_json='{"p": 1}'), "p"),
        (chat(extra_json='{"stream_options": 1, "messages": []}'), "messages"),
        (chat(reasoning_effort="none", extra_json='{"thinking": {}}'), "thinking"),
    ],
)
def test_what_is_malformed_is_an_invalid_request_that_names_the_field(request_: pb.ChatRequest, param: str) -> None:
    error = refusal_of(request_)
    assert (error.kind, error.param) == (Kind.INVALID_REQUEST, param)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (pb.Message(role=pb.ROLE_TOOL, tool_call_id="a", tool_error=True), "tool_error"),
        (pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[pb.ToolCall(custom_input="x")]), "messages[].tool_calls"),
    ],
)
def test_what_a_message_cannot_say_is_refused_by_name(message: pb.Message, name: str) -> None:
    request = chat(messages=[USER, message])
    assert refusal_of(request).kind is Kind.UNSUPPORTED_PARAMETER
    assert body_of(request, drop_params=[name])["messages"][0] == PLAIN["messages"][0]  # type: ignore[index]

"""What a canonical chat request becomes for Cohere's /v2/chat."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Kind, Task, side_of
from adapters.cohere import FORMAT
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.cohere_calls import (
    CONTEXT,
    PLAIN,
    USER,
    F,
    G,
    body_of,
    call_of,
    chat,
    message_of,
    refusal_of,
    says,
    target,
)


def test_a_plain_question_goes_to_version_2_with_only_what_the_caller_said() -> None:
    call = call_of(chat())
    assert call.url == "https://api.cohere.com/v2/chat"
    assert json.loads(call.body) == PLAIN


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v2"])
def test_a_base_url_may_name_a_version(end: str) -> None:
    call = FORMAT.provider[Task.CHAT].encode(chat(), target(f"http://127.0.0.1:1{end}"), False, CONTEXT)
    assert call.url == "http://127.0.0.1:1/v2/chat"


def test_streaming_only_changes_stream_and_the_request_stays_as_it_was() -> None:
    request = chat(tools=[F], extra_json='{"k": 5}')
    before = request.SerializeToString(deterministic=True)
    assert body_of(request, stream=True) == body_of(request) | {"stream": True}
    assert request.SerializeToString(deterministic=True) == before


def test_parameters_have_coheres_names_and_unknown_ones_go_along_as_written() -> None:
    request = chat(
        temperature=0.1,
        top_p=0.2,
        seed=2**40,
        max_completion_tokens=9,
        frequency_penalty=0.3,
        presence_penalty=0.4,
        stop=["a", "b"],
        logprobs=True,
        extra_json='{"k": 5, "safety_mode": "OFF", "documents": [12345678901234567890123]}',
    )
    assert body_of(request) == PLAIN | {
        "temperature": 0.1,
        "p": 0.2,
        "seed": 2**40,
        "max_tokens": 9,
        "frequency_penalty": 0.3,
        "presence_penalty": 0.4,
        "stop_sequences": ["a", "b"],
        "logprobs": True,
        "k": 5,
        "safety_mode": "OFF",
        "documents": [12345678901234567890123],
    }
    assert b'"documents":[12345678901234567890123]' in call_of(request).body


def test_developer_messages_are_system_messages_and_stay_where_they_are() -> None:
    messages = [USER, pb.Message(role=pb.ROLE_DEVELOPER, content=[pb.ContentPart(text="Be brief")])]
    assert body_of(chat(messages=messages))["messages"][1] == {"role": "system", "content": "Be brief"}


def test_a_conversation_with_tools_goes_back_with_plan_citations_and_documents() -> None:
    plan = pb.ContentPart(thinking=pb.Thinking(text="I look.", native_name="tool_plan"))
    calls = [pb.ToolCall(id="a", name="f", arguments_json='{"x":1}'), pb.ToolCall(id="b", name="g")]
    document = '{"type":"document","document":{"id":"1","data":{"n":1.50}}}'
    messages = [
        pb.Message(role=pb.ROLE_ASSISTANT, content=[plan], tool_calls=calls),
        pb.Message(role=pb.ROLE_TOOL, tool_call_id="a", name="f", content=[pb.ContentPart(other_json=document)]),
        pb.Message(
            role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="So")], extra_json='{"citations":[{"start":0}]}'
        ),
    ]
    request = chat(messages=messages)
    made = body_of(request)["messages"]
    assert made[0] == {
        "role": "assistant",
        "tool_plan": "I look.",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    assert (made[1]["tool_call_id"], made[1]["content"]) == ("a", [json.loads(document)])
    assert made[2] == {"role": "assistant", "content": "So", "citations": [{"start": 0}]}
    assert document.encode() in call_of(request).body


def test_images_go_by_value_and_by_address_with_their_detail() -> None:
    parts = [
        pb.ContentPart(text="See"),
        pb.ContentPart(image=pb.Image(data=b"\x89PNG", mime_type="image/png", detail="low")),
        pb.ContentPart(image=pb.Image(url="https://example.com/a.png")),
    ]
    assert message_of(says(*parts))["content"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]


def test_thinking_goes_back_as_a_block_unless_another_provider_signed_it() -> None:
    mine = pb.ContentPart(thinking=pb.Thinking(text="hm", native_name="reasoning_content"))
    signed = pb.ContentPart(thinking=pb.Thinking(text="hm", signature=b"x"))
    text = pb.ContentPart(text="So")
    block = {"type": "thinking", "thinking": "hm"}
    assert message_of(says(mine, text, role=pb.ROLE_ASSISTANT))["content"] == [block, {"type": "text", "text": "So"}]
    anothers = says(signed, text, role=pb.ROLE_ASSISTANT)
    assert message_of(anothers)["content"] == "So"
    assert call_of(anothers).left_out == ("messages[].content[].thinking",)


@pytest.mark.parametrize(
    ("strict", "sent"),
    [([None, None], None), ([True, True], True), ([False, None], False), ([False, False], False)],
)
def test_strict_tools_are_said_once_for_all(strict: list[bool | None], sent: bool | None) -> None:
    tools = [pb.Tool(function=pb.FunctionTool(name="f", strict=one)) for one in strict]
    assert body_of(chat(tools=tools)).get("strict_tools") is sent


def test_some_strict_tools_are_refused_by_name() -> None:
    tools = [pb.Tool(function=pb.FunctionTool(name="f", strict=True)), G]
    error = refusal_of(chat(tools=tools))
    assert (error.kind, error.param) == (Kind.UNSUPPORTED_PARAMETER, "tools[].function.strict")
    assert "strict_tools" not in body_of(chat(tools=tools), drop_params=["strict"])


def test_a_function_without_parameters_gets_the_schema_that_the_api_insists_on() -> None:
    (tool,) = body_of(chat(tools=[pb.Tool(function=pb.FunctionTool(name="f", description="d"))]))["tools"]
    schema = {"type": "object", "properties": {}}
    assert tool == {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (pb.ToolChoice(mode=pb.ToolChoice.MODE_AUTO), None),
        (pb.ToolChoice(mode=pb.ToolChoice.MODE_NONE), "NONE"),
        (pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED), "REQUIRED"),
        (pb.ToolChoice(function_name="f"), "REQUIRED"),
    ],
)
def test_tool_choice_in_coheres_words(choice: pb.ToolChoice, sent: str | None) -> None:
    assert body_of(chat(tools=[F], tool_choice=choice, parallel_tool_calls=True)).get("tool_choice") == sent


@pytest.mark.parametrize(
    "choice",
    [pb.ToolChoice(function_name="f"), pb.ToolChoice(custom_name="f"), pb.ToolChoice(other_json='{"type":"x"}')],
)
def test_a_tool_choice_that_cannot_be_said_is_refused_by_name(choice: pb.ToolChoice) -> None:
    request = chat(tools=[F, G], tool_choice=choice)
    assert refusal_of(request).kind is Kind.UNSUPPORTED_PARAMETER
    assert "tool_choice" not in body_of(request, drop_params=["tool_choice"])


SCHEMA = '{"type":"object","maximum":1.50}'


@pytest.mark.parametrize(
    ("wanted", "sent"),
    [
        (pb.ResponseFormat(text=pb.TextFormat()), {"type": "text"}),
        (pb.ResponseFormat(json_object=pb.JsonObjectFormat()), {"type": "json_object"}),
        (pb.ResponseFormat(other_json='{"type":"json_object","schema":{}}'), {"type": "json_object", "schema": {}}),
        (
            pb.ResponseFormat(json_schema=pb.JsonSchemaFormat(name="n", strict=True, schema_json=SCHEMA)),
            {"type": "json_object", "json_schema": {"type": "object", "maximum": 1.5}},
        ),
    ],
)
def test_the_form_of_the_answer(wanted: pb.ResponseFormat, sent: dict[str, Any]) -> None:
    assert body_of(chat(response_format=wanted))["response_format"] == sent


@pytest.mark.parametrize(("effort", "sent"), [("none", "disabled"), ("high", "enabled")])
def test_thinking_is_on_or_off(effort: str, sent: str) -> None:
    assert body_of(chat(reasoning_effort=effort))["thinking"] == {"type": sent}


def test_a_completions_route_asks_its_chat() -> None:
    side = side_of(FORMAT, target(), Task.COMPLETIONS)
    assert side is not None
    call = side.encode(pb.CompleteRequest(prompts=[pb.Prompt(text="Hi")]), target(), False, CONTEXT)
    assert (call.url, json.loads(call.body)) == ("https://api.cohere.com/v2/chat", PLAIN)

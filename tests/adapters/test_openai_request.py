"""Canonical requests as OpenAI's bodies, and OpenAI's bodies as canonical requests."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from adapters import FORMATS, Context, GatewayError, HttpCall, Kind, Target, Task
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.openai_examples import HI, LEFT_OUT, REFUSED, TRANSLATED, chat, fields_of, part, set_fields

OPENAI = FORMATS["openai"]
TARGET = Target(PROVIDERS["openai-compatible"], "r", "http://127.0.0.1:1/v1")
CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
TASKS: dict[Any, Task] = {
    pb.ChatRequest: Task.CHAT,
    pb.CompleteRequest: Task.COMPLETIONS,
    pb.EmbedRequest: Task.EMBEDDINGS,
}


def call_of(request: Any, stream: bool = False, target: Target = TARGET) -> HttpCall:
    return OPENAI.provider[TASKS[type(request)]].encode(request, target, stream, CONTEXT)


def body_of(request: Any, stream: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(call_of(request, stream).body)
    return body


def read(body: bytes | dict[str, Any], task: Task = Task.CHAT) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps({"model": "r", **body}).encode()
    client = OPENAI.client[task]
    return client.decode_request(client.open(raw))


def refusal_of(act: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        act()
    return caught.value


def test_every_field_of_every_request_is_in_an_example() -> None:
    wanted = fields_of(*(kind.DESCRIPTOR for kind in TASKS))
    examples = [*TRANSLATED, *(request for request, _ in (*REFUSED, *LEFT_OUT))]
    assert {name for request in examples for name in set_fields(request)} == wanted


@pytest.mark.parametrize("request_", TRANSLATED, ids=lambda request: str(request)[:40])
def test_what_is_written_reads_back_the_same(request_: Any) -> None:
    assert read(call_of(request_).body, TASKS[type(request_)]) == request_


@pytest.mark.parametrize(("request_", "param"), REFUSED, ids=[param for _, param in REFUSED])
def test_what_the_format_cannot_say_is_refused_by_name(request_: Any, param: str) -> None:
    refusal = refusal_of(lambda: call_of(request_))
    assert (refusal.kind, refusal.param) == (Kind.UNSUPPORTED_PARAMETER, param)
    assert "openai-compatible" in refusal.message


@pytest.mark.parametrize(("request_", "name"), LEFT_OUT)
def test_a_thought_that_has_no_place_is_left_out_and_named(request_: Any, name: str) -> None:
    call = call_of(request_)
    assert json.loads(call.body)["messages"] == [{"role": "assistant", "content": "So"}]
    assert call.left_out == (name,)


def test_a_route_can_have_what_cannot_be_said_dropped() -> None:
    target = Target(TARGET.provider, "m", TARGET.base_url, {"drop_params": ["thinking", "tool_error", "seed"]})
    thinking = pb.ContentPart(thinking=pb.Thinking(text="hm", signature=b"s"))
    turn = pb.Message(role=pb.ROLE_TOOL, content=[thinking, *HI.content], tool_call_id="c", tool_error=True)
    sent = json.loads(call_of(chat(messages=[turn], seed=1), target=target).body)
    assert sent == {"model": "m", "messages": [{"role": "tool", "content": "Hi", "tool_call_id": "c"}]}


def test_only_what_was_set_is_sent() -> None:
    assert body_of(chat()) == {"model": "r", "messages": [{"role": "user", "content": "Hi"}]}
    assert call_of(chat()).url == "http://127.0.0.1:1/v1/chat/completions"


def test_a_stream_asks_for_usage_and_a_whole_answer_does_not() -> None:
    assert body_of(chat(), stream=True)["stream_options"] == {"include_usage": True}
    assert body_of(chat(), stream=True)["stream"] is True
    assert "stream" not in body_of(chat())


def test_json_text_keeps_its_bytes() -> None:
    parameters = '{ "z": 1.0, "a": 12345678901234567890123, "\\u00e9": "\u2028" }'
    raw = call_of(chat(tools=[pb.Tool(function=pb.FunctionTool(name="f", parameters_json=parameters))])).body
    assert parameters.encode() in raw
    tool = b'{"type":"function","function":{"name":"f","parameters":' + parameters.encode() + b"}}"
    body = b'{"model":"r","messages":[{"role":"user","content":"a"}],"tools":[' + tool + b"]}"
    assert read(body).tools[0].function.parameters_json == parameters


@pytest.mark.parametrize(
    "request_",
    [
        chat(extra_json='{"temperature":1}'),
        chat(extra_json='{"model":"other"}'),
        chat(extra_json='{"stream":true}'),
        chat(extra_json="[]"),
        chat(extra_json="{"),
        chat(stream_options=pb.StreamOptions(extra_json='{"include_usage":false}')),
        chat(messages=[pb.Message(role=pb.ROLE_USER, extra_json='{"content":"x"}')]),
        chat(tools=[pb.Tool(function=pb.FunctionTool(name="f", extra_json='{"strict":true}'))]),
        chat(tools=[pb.Tool(other_json="{")]),
        chat(tools=[pb.Tool()]),
        chat(logit_bias_json="nope"),
        chat(tool_choice=pb.ToolChoice()),
        chat(response_format=pb.ResponseFormat()),
        chat(messages=[]),
        chat(messages=[pb.Message(content=HI.content)]),
        chat(n=0),
        chat(temperature=math.nan),
        chat(top_p=math.inf),
        part(image=pb.Image(data=b"x")),
        part(),
        pb.CompleteRequest(route="r"),
        pb.CompleteRequest(route="r", prompts=[pb.Prompt()]),
        pb.EmbedRequest(route="r"),
        pb.EmbedRequest(route="r", inputs=[pb.EmbedInput(text="a")], encoding=9),  # type: ignore[arg-type]
    ],
    ids=lambda request: str(request)[:60].replace("\n", " "),
)
def test_a_request_that_makes_no_sense_is_the_callers_fault(request_: Any) -> None:
    refusal = refusal_of(lambda: call_of(request_))
    assert refusal.kind is Kind.INVALID_REQUEST
    assert refusal.param is not None


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "alien", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls[0].function"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"seed": 2**63}, "seed"),
        ({"n": 0}, "n"),
        ({"logprobs": 1}, "logprobs"),
        ({"stop": [1]}, "stop[0]"),
        ({"stop": {}}, "stop"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"response_format": "json"}, "response_format"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
def test_what_is_wrong_in_a_body_is_named_in_openais_words(change: dict[str, Any], param: str) -> None:
    refusal = refusal_of(lambda: read({"messages": [{"role": "user", "content": "Hi"}], **change}))
    assert (refusal.kind, refusal.param) == (Kind.INVALID_REQUEST, param)


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (["a", [1]], ["a", [1]]),
    ],
)
def test_prompts_and_inputs_are_texts_or_tokens_one_or_many(prompt: Any, texts: list[Any]) -> None:
    for task, name, field in ((Task.COMPLETIONS, "prompt", "prompts"), (Task.EMBEDDINGS, "input", "inputs")):
        found = getattr(read({name: prompt}, task), field)
        assert [one.text or list(one.tokens.ids) for one in found] == texts


@pytest.mark.parametrize("wrong", [None, [], 5, {}, [1.5], [-1], [2**31], [None], [["a"]], [1, "a"], True])
def test_a_prompt_that_is_neither_is_refused(wrong: Any) -> None:
    refusal = refusal_of(lambda: read({"prompt": wrong}, Task.COMPLETIONS))
    assert refusal.kind is Kind.INVALID_REQUEST
    assert str(refusal.param).startswith("prompt")


def test_whole_numbers_may_be_written_with_a_point() -> None:
    assert read({"messages": [{"role": "user", "content": "a"}], "max_tokens": 5.0, "n": 1.0}).max_tokens == 5


def test_members_openai_adds_tomorrow_are_passed_on() -> None:
    body = b'{"model":"r","messages":[{"role":"user","content":"a","new":1.0}],"newer":{"a":[1e2]},"none":null}'
    request = read(body)
    assert (request.extra_json, request.messages[0].extra_json) == ('{"newer":{"a":[1e2]}}', '{"new":1.0}')
    assert b'"newer":{"a":[1e2]}' in call_of(request).body


def test_a_named_function_with_more_said_about_it_keeps_that() -> None:
    choice = {"type": "function", "function": {"name": "f", "new": 1}}
    messages = [{"role": "user", "content": "a"}]
    assert body_of(read({"messages": messages, "tool_choice": choice}))["tool_choice"] == choice
    own_voice = {"voice": {"id": "v_1"}, "format": "wav"}
    assert body_of(read({"messages": messages, "audio": own_voice}))["audio"] == own_voice


def test_encode_refuses_a_collision_before_it_can_send_one() -> None:
    refusal = refusal_of(lambda: call_of(chat(seed=1, extra_json='{"seed":2}')))
    assert (refusal.kind, refusal.param) == (Kind.INVALID_REQUEST, "seed")

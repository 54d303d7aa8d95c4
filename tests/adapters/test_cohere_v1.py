"""Cohere's version 1: chat and generate, whole and as lines of JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import Context, GatewayError, Kind, Target, Task
from adapters.chunks import accumulate_chat, accumulate_completion
from adapters.cohere import FORMAT_V1
from adapters.providers import PROVIDERS
from adapters.sse import Event
from sidecar.v1 import inference_pb2 as pb
from tests.adapters.test_cohere_refusals import LEFT_OUT as LEFT_OUT_BY_BOTH
from tests.adapters.test_cohere_refusals import REFUSED as REFUSED_BY_BOTH

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1", "command")
CHAT, GENERATE = FORMAT_V1.provider[Task.CHAT], FORMAT_V1.provider[Task.COMPLETIONS]
USER = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="Why?")])
PLAIN = {"model": "command", "message": "Why?"}
PROMPT = pb.Prompt(text="Once")


def target(**options: Any) -> Target:
    return Target(PROVIDERS["cohere-v1"], "command", "https://api.cohere.com", options)


def call_of(request: Any, stream: bool = False, **options: Any) -> tuple[str, Any]:
    side = CHAT if isinstance(request, pb.ChatRequest) else GENERATE
    call = side.encode(request, target(**options), stream, CONTEXT)
    return call.url, json.loads(call.body)


def chat(**fields: Any) -> pb.ChatRequest:
    return pb.ChatRequest(**({"messages": [USER]} | fields))


def complete(**fields: Any) -> pb.CompleteRequest:
    return pb.CompleteRequest(**({"prompts": [PROMPT]} | fields))


def refusal_of(request: Any, **how: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call_of(request, **how)
    return caught.value


def test_the_last_message_is_the_question_and_those_before_it_the_history() -> None:
    earlier = [
        pb.Message(role=pb.ROLE_SYSTEM, content=[pb.ContentPart(text="Be brief")]),
        pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="a"), pb.ContentPart(text="b")]),
        pb.Message(role=pb.ROLE_ASSISTANT, content=[pb.ContentPart(text="c")]),
    ]
    assert call_of(chat(messages=[*earlier, USER])) == (
        "https://api.cohere.com/v1/chat",
        PLAIN
        | {
            "chat_history": [
                {"role": "SYSTEM", "message": "Be brief"},
                {"role": "USER", "message": "a\n\nb"},
                {"role": "CHATBOT", "message": "c"},
            ]
        },
    )


def test_streaming_adds_stream_and_nothing_else() -> None:
    assert call_of(chat(), stream=True)[1] == PLAIN | {"stream": True}
    assert call_of(complete(), stream=True)[1] == {"model": "command", "prompt": "Once", "stream": True}


CHAT_SENT: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0.5, {"temperature": 0.5}),
    "top_p": (0.5, {"p": 0.5}),
    "seed": (7, {"seed": 7}),
    "max_tokens": (7, {"max_tokens": 7}),
    "max_completion_tokens": (7, {"max_tokens": 7}),
    "frequency_penalty": (0.5, {"frequency_penalty": 0.5}),
    "presence_penalty": (0.5, {"presence_penalty": 0.5}),
    "stop": (["x"], {"stop_sequences": ["x"]}),
    "extra_json": ('{"connectors": [1]}', {"connectors": [1]}),
    "response_format": (
        pb.ResponseFormat(json_schema=pb.JsonSchemaFormat(schema_json='{"type":"object"}')),
        {"response_format": {"type": "json_object", "schema": {"type": "object"}}},
    ),
}
CHAT_REFUSED = REFUSED_BY_BOTH | {
    "tools": [pb.Tool(function=pb.FunctionTool(name="f"))],
    "tool_choice": pb.ToolChoice(mode=pb.ToolChoice.MODE_REQUIRED),
    "logprobs": True,
    "reasoning_effort": "high",
}


def test_every_field_of_a_chat_is_either_sent_or_refused() -> None:
    names = {field.name for field in pb.ChatRequest.DESCRIPTOR.fields}
    assert names == {"route", "messages", *CHAT_SENT, *CHAT_REFUSED, *LEFT_OUT_BY_BOTH}
    for name, value in LEFT_OUT_BY_BOTH.items():
        assert call_of(chat(**{name: value}))[1] == PLAIN
    for name, (value, made) in CHAT_SENT.items():
        assert call_of(chat(**{name: value}))[1] == PLAIN | made
    for name, value in CHAT_REFUSED.items():
        param = name.removesuffix("_json")
        error = refusal_of(chat(**{name: value}))
        assert (error.kind, (error.param or "").startswith(param)) == (Kind.UNSUPPORTED_PARAMETER, True)
        assert call_of(chat(**{name: value}), drop_params=[param])[1] == PLAIN


COMPLETE_SENT: dict[str, tuple[Any, dict[str, Any]]] = {
    name: CHAT_SENT[name]
    for name in ("temperature", "top_p", "seed", "max_tokens", "frequency_penalty", "presence_penalty", "stop")
} | {"n": (2, {"num_generations": 2}), "extra_json": ('{"k": 1}', {"k": 1})}
COMPLETE_REFUSED: dict[str, Any] = {
    "suffix": "x",
    "echo": True,
    "logprobs": 1,
    "best_of": 2,
    "logit_bias_json": '{"5": 1}',
}
COMPLETE_LEFT_OUT: dict[str, Any] = {
    "user": "u",
    "stream_options": pb.StreamOptions(include_obfuscation=True),
}


def test_every_field_of_a_completion_is_either_sent_or_refused() -> None:
    names = {field.name for field in pb.CompleteRequest.DESCRIPTOR.fields}
    assert names == {"route", "prompts", *COMPLETE_SENT, *COMPLETE_REFUSED, *COMPLETE_LEFT_OUT}
    for name, value in COMPLETE_LEFT_OUT.items():
        assert call_of(complete(**{name: value}))[1] == {"model": "command", "prompt": "Once"}
    plain = {"model": "command", "prompt": "Once"}
    for name, (value, made) in COMPLETE_SENT.items():
        assert call_of(complete(**{name: value})) == ("https://api.cohere.com/v1/generate", plain | made)
    for name, value in COMPLETE_REFUSED.items():
        error = refusal_of(complete(**{name: value}))
        assert error.kind is Kind.UNSUPPORTED_PARAMETER
        assert call_of(complete(**{name: value}), drop_params=[name.removesuffix("_json")])[1] == plain


@pytest.mark.parametrize(
    ("request_", "kind", "param"),
    [
        (pb.ChatRequest(), Kind.INVALID_REQUEST, "messages"),
        (chat(messages=[USER, pb.Message(role=pb.ROLE_ASSISTANT)]), Kind.INVALID_REQUEST, "messages[1]"),
        (chat(messages=[pb.Message()]), Kind.INVALID_REQUEST, "messages[0].role"),
        (chat(messages=[pb.Message(role=pb.ROLE_TOOL), USER]), Kind.UNSUPPORTED_PARAMETER, "messages[0].tool_calls"),
        (
            chat(messages=[pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(image=pb.Image(url="x"))])]),
            Kind.UNSUPPORTED_PARAMETER,
            "messages[0].content[0].image_url",
        ),
        (complete(prompts=[]), Kind.INVALID_REQUEST, "prompt"),
        (complete(prompts=[PROMPT, PROMPT]), Kind.UNSUPPORTED_PARAMETER, "prompt"),
        (complete(prompts=[pb.Prompt(tokens=pb.Tokens(ids=[1]))]), Kind.UNSUPPORTED_PARAMETER, "prompt"),
        (complete(prompts=[pb.Prompt()]), Kind.INVALID_REQUEST, "prompt"),
    ],
)
def test_what_cannot_be_said_names_the_field(request_: Any, kind: Kind, param: str) -> None:
    error = refusal_of(request_)
    assert (error.kind, error.param) == (kind, param)


META = {"billed_units": {"input_tokens": 3, "output_tokens": 4}, "tokens": {"input_tokens": 70, "output_tokens": 5}}


def streamed(side: Any, *events: dict[str, Any]) -> list[Any]:
    decoder = side.stream(target(), CONTEXT)
    out = [chunk for each in events for chunk in decoder.feed(Event("", json.dumps(each).encode(), b""))]
    return out + list(decoder.close())


def line(type_: str, **more: Any) -> dict[str, Any]:
    return {"is_finished": type_ == "stream-end", "event_type": type_} | more


def test_a_chat_stream_adds_up_to_the_whole_answer() -> None:
    whole = {"generation_id": "g", "text": "So.", "citations": [{"start": 0}, {"start": 1}], "meta": META}
    answer = CHAT.decode(json.dumps(whole | {"finish_reason": "COMPLETE", "chat_history": [1]}).encode(), CONTEXT)
    chunks = streamed(
        CHAT,
        line("stream-start", generation_id="g"),
        line("search-queries-generation", search_queries=[]),
        line("text-generation", text="S"),
        line("text-generation", text="o."),
        line("citation-generation", citations=[{"start": 0}]),
        line("citation-generation", citations=[{"start": 1}]),
        line("stream-end", response=whole, finish_reason="COMPLETE"),
    )
    made = accumulate_chat(chunks)
    for each in (made, answer):
        held = each.choices[0].message
        held.extra_json = json.dumps(json.loads(held.extra_json))
    assert made == answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (70, 5)
    assert not answer.extra_json  # the history is the caller's own


def test_tool_calls_that_a_caller_asked_for_in_its_own_words_get_ids() -> None:
    calls = [{"name": "f", "parameters": {"a": 1}}, {"name": "g", "parameters": {}}]
    body = {"text": "", "tool_calls": calls, "finish_reason": "COMPLETE"}
    whole = CHAT.decode(json.dumps(body).encode(), CONTEXT)
    assert [(call.id, call.name, call.arguments_json) for call in whole.choices[0].message.tool_calls] == [
        ("call_1", "f", '{"a": 1}'),
        ("call_1", "g", "{}"),
    ]
    chunks = streamed(CHAT, line("stream-start"), line("stream-end", response=body, finish_reason="COMPLETE"))
    assert accumulate_chat(chunks).choices[0].message.tool_calls == whole.choices[0].message.tool_calls


def test_a_completion_stream_of_two_generations_adds_up_to_the_whole_answer() -> None:
    generations = [
        {"id": "a", "text": " upon", "finish_reason": "COMPLETE"},
        {"id": "b", "text": " more", "finish_reason": "MAX_TOKENS"},
    ]
    whole = {"id": "1", "generations": generations, "prompt": "Once", "meta": META}
    answer = GENERATE.decode(json.dumps(whole).encode(), CONTEXT)
    made = accumulate_completion(
        streamed(
            GENERATE,
            line("text-generation", text=" up", index=0),
            line("text-generation", text=" more", index=1),
            line("text-generation", text="on", index=0),
            line("stream-end", response=whole, finish_reason="COMPLETE"),
        )
    )
    answer.id = made.id
    assert made == answer
    assert [(c.text, c.native_finish_reason) for c in made.choices] == [(" upon", "COMPLETE"), (" more", "MAX_TOKENS")]


@pytest.mark.parametrize("side", [CHAT, GENERATE])
def test_failures_inside_a_stream_are_failures(side: Any) -> None:
    for last in (line("stream-error", message="no"), line("stream-end", finish_reason="ERROR", error="no")):
        with pytest.raises(GatewayError) as caught:
            streamed(side, line("text-generation", text="a"), last)
        assert (caught.value.kind, caught.value.message) == (Kind.UPSTREAM_UNAVAILABLE, "no")


@pytest.mark.parametrize("side", [CHAT, GENERATE])
@pytest.mark.parametrize("events", [[], [line("text-generation", text="a")], [line("stream-end")], [{"x": 1}]])
def test_a_stream_that_is_cut_or_no_stream_is_no_success(side: Any, events: list[dict[str, Any]]) -> None:
    with pytest.raises(GatewayError) as caught:
        streamed(side, *events)
    assert caught.value.kind is Kind.UPSTREAM_PROTOCOL

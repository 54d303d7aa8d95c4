"""Callers of MLflow's dialects: what is accepted, what is refused in which words, and what an answer looks like to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf.message import Message

from adapters import FORMATS, ClientSide, Context, GatewayError, Kind, Target, Task
from adapters.mlflow_client import CLIENT_B, CLIENT_C, Violations, detail_of
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

A = FORMATS["mlflow-a"].client
CONTEXT = Context(1, lambda prefix: f"{prefix}1", "m")
CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
PROMPT: dict[str, Any] = {"prompt": "hello"}


def decoded(side: ClientSide, body: dict[str, Any] | bytes) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return side.decode_request(side.open(raw))


def problems(side: ClientSide, body: dict[str, Any] | bytes) -> list[dict[str, Any]]:
    with pytest.raises(GatewayError) as raised:
        decoded(side, body)
    found = detail_of(raised.value)
    assert isinstance(found, list), found
    return found


def text(side: ClientSide, body: dict[str, Any]) -> str:
    with pytest.raises(GatewayError) as raised:
        decoded(side, body)
    found = detail_of(raised.value)
    assert isinstance(found, str)
    return found


def test_dialect_as_names_are_read() -> None:
    body = {**CHAT, "candidate_count": 3, "temperature": 0.25, "stop": ["a"], "max_tokens": 7}
    request = decoded(A[Task.CHAT], body)
    assert (request.n, request.temperature, list(request.stop), request.max_tokens) == (3, 0.25, ["a"], 7)
    assert decoded(A[Task.COMPLETIONS], PROMPT).prompts[0].text == "hello"
    assert [each.text for each in decoded(A[Task.EMBEDDINGS], {"text": ["a", "b"]}).inputs] == ["a", "b"]
    assert [each.text for each in decoded(A[Task.EMBEDDINGS], {"text": "a"}).inputs] == ["a"]


def test_members_that_the_dialect_does_not_name_pass_on() -> None:
    request = decoded(A[Task.CHAT], {**CHAT, "top_p": 0.5, "seed": 3, "made_up": {"a": [1.0]}, "stream": False})
    assert (request.top_p, request.seed, json.loads(request.extra_json)) == (0.5, 3, {"made_up": {"a": [1.0]}})


@pytest.mark.parametrize("name", ["stop", "max_tokens", "model", "n"])
def test_null_is_absent_where_the_reference_says_so(name: str) -> None:
    assert decoded(A[Task.CHAT], {**CHAT, name: None}) == decoded(A[Task.CHAT], CHAT)


# The reference's table of limits: the body, then type and place of each problem.
STRICT: dict[str, tuple[Task, dict[str, Any], list[tuple[str, list[Any]]]]] = {
    "no messages": (Task.CHAT, {}, [("missing", ["messages"])]),
    "empty messages": (Task.CHAT, {"messages": []}, [("too_short", ["messages"])]),
    "messages is text": (Task.CHAT, {"messages": "hi"}, [("list_type", ["messages"])]),
    "messages is null": (Task.CHAT, {"messages": None}, [("list_type", ["messages"])]),
    "a message is text": (Task.CHAT, {"messages": ["hi"]}, [("model_attributes_type", ["messages", 0])]),
    "no role": (Task.CHAT, {"messages": [{"content": "a"}]}, [("missing", ["messages", 0, "role"])]),
    "content is null": (
        Task.CHAT,
        {"messages": [{"role": "user", "content": None}]},
        [("string_type", ["messages", 0, "content"])],
    ),
    "content is parts": (
        Task.CHAT,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        [("string_type", ["messages", 0, "content"])],
    ),
    "temperature above": (Task.CHAT, {**CHAT, "temperature": 1.5}, [("less_than_equal", ["temperature"])]),
    "temperature below": (Task.CHAT, {**CHAT, "temperature": -0.1}, [("greater_than_equal", ["temperature"])]),
    "temperature null": (Task.CHAT, {**CHAT, "temperature": None}, [("float_type", ["temperature"])]),
    "temperature text": (Task.CHAT, {**CHAT, "temperature": "warm"}, [("float_parsing", ["temperature"])]),
    "no candidates": (Task.CHAT, {**CHAT, "candidate_count": 0}, [("greater_than_equal", ["candidate_count"])]),
    "six candidates": (Task.CHAT, {**CHAT, "candidate_count": 6}, [("less_than_equal", ["candidate_count"])]),
    "half a candidate": (Task.CHAT, {**CHAT, "candidate_count": 1.5}, [("int_from_float", ["candidate_count"])]),
    "stop is text": (Task.CHAT, {**CHAT, "stop": "x"}, [("list_type", ["stop"])]),
    "stop is empty": (Task.CHAT, {**CHAT, "stop": []}, [("too_short", ["stop"])]),
    "stop has a number": (Task.CHAT, {**CHAT, "stop": ["a", 1]}, [("string_type", ["stop", 1])]),
    "no tokens": (Task.CHAT, {**CHAT, "max_tokens": 0}, [("greater_than_equal", ["max_tokens"])]),
    "no prompt": (Task.COMPLETIONS, {}, [("missing", ["prompt"])]),
    "two prompts": (Task.COMPLETIONS, {"prompt": ["a", "b"]}, [("string_type", ["prompt"])]),
    "no text": (Task.EMBEDDINGS, {}, [("missing", ["text"])]),
    "text is a number": (
        Task.EMBEDDINGS,
        {"text": 1},
        [("string_type", ["text", "str"]), ("list_type", ["text", "list[str]"])],
    ),
    "several at once": (
        Task.CHAT,
        {"temperature": 2, "candidate_count": 9},
        [("less_than_equal", ["temperature"]), ("less_than_equal", ["candidate_count"]), ("missing", ["messages"])],
    ),
}


@pytest.mark.parametrize("case", STRICT)
def test_dialect_a_is_as_strict_as_the_reference(case: str) -> None:
    task, body, wanted = STRICT[case]
    found = problems(A[task], body)
    assert [(each["type"], each["loc"]) for each in found] == [(type_, ["body", *loc]) for type_, loc in wanted]
    assert all(each["msg"] for each in found)


def test_a_problem_says_what_it_found_and_what_would_do() -> None:
    assert problems(A[Task.CHAT], {**CHAT, "temperature": 1.5}) == [
        {
            "type": "less_than_equal",
            "loc": ["body", "temperature"],
            "msg": "Input should be less than or equal to 1",
            "input": 1.5,
            "ctx": {"le": 1.0},
        }
    ]


def test_a_long_prompt_is_not_said_back() -> None:
    found = problems(A[Task.COMPLETIONS], {"prompt": ["x" * 100_000]})
    assert len(json.dumps(found)) < 1000


@pytest.mark.parametrize("body", [b"{", b'{"a": 1,}', b"\xff", b'{"a": nope}', b"[" * 100_000])
@pytest.mark.parametrize("sides", [A, CLIENT_B, CLIENT_C])
def test_what_is_no_json_is_one_problem(sides: Mapping[Task, ClientSide], body: bytes) -> None:
    assert [each["type"] for each in problems(sides[Task.CHAT], body)] == ["json_invalid"]


def test_a_body_that_is_not_there_is_missing() -> None:
    assert [(each["type"], each["loc"]) for each in problems(A[Task.CHAT], b"")] == [("missing", ["body"])]


def test_json_that_is_no_object_is_one_problem() -> None:
    assert [each["type"] for each in problems(A[Task.CHAT], b"[1]")] == ["model_attributes_type"]


@pytest.mark.parametrize("sides", [A, CLIENT_B])
def test_a_model_is_refused_where_the_path_names_the_route(sides: Mapping[Task, ClientSide]) -> None:
    assert text(sides[Task.CHAT], {**CHAT, "model": "gpt"}) == (
        "The parameter 'model' is not permitted to be passed. The route being queried already defines a model instance."
    )


def test_dialect_c_takes_a_model_and_passes_it_over() -> None:
    assert "model" not in CLIENT_C[Task.CHAT].open(json.dumps({**CHAT, "model": "gpt"}).encode()).members


def test_dialect_bs_names_are_refused_in_a_by_as() -> None:
    assert text(A[Task.CHAT], {**CHAT, "n": 2}) == "Invalid parameter `n`. Use `candidate_count` instead."
    assert text(A[Task.EMBEDDINGS], {"text": "a", "input": "b"}) == "Invalid parameter `input`. Use `text` instead."


def test_a_stream_is_refused_in_a() -> None:
    assert "'stream'" in text(A[Task.CHAT], {**CHAT, "stream": True})


@pytest.mark.parametrize(
    ("body", "type_", "at"),
    [
        ({**CHAT, "temperature": 2.5}, "less_than_equal", "temperature"),
        ({**CHAT, "n": 0}, "greater_than_equal", "n"),
        ({**CHAT, "max_tokens": 0}, "greater_than_equal", "max_tokens"),
        ({**CHAT, "stop": []}, "too_short", "stop"),
        ({**CHAT, "presence_penalty": 3}, "less_than_equal", "presence_penalty"),
        ({**CHAT, "stream": "yes"}, "bool_type", "stream"),
        ({"messages": []}, "too_short", "messages"),
        ({}, "missing", "messages"),
    ],
)
def test_dialect_b_checks_what_the_reference_checks(body: dict[str, Any], type_: str, at: str) -> None:
    assert [(each["type"], each["loc"]) for each in problems(CLIENT_B[Task.CHAT], body)] == [(type_, ["body", at])]


def test_dialect_b_takes_what_openai_takes() -> None:
    body = {**CHAT, "stop": "x", "temperature": 2, "n": 9, "stream": True, "stream_options": {"include_usage": True}}
    envelope = CLIENT_B[Task.CHAT].open(json.dumps(body).encode())
    assert (envelope.stream, envelope.include_usage, envelope.model) == (True, True, "")
    assert {name: json.loads(raw) for name, raw in envelope.members.items()} == body


@pytest.mark.parametrize("sides", [CLIENT_B, CLIENT_C])
def test_members_of_b_and_c_keep_their_bytes(sides: Mapping[Task, ClientSide]) -> None:
    raw = b'{"messages": [{"role":"user","content":"\\u00e9"}], "seed":12345678901234567890123, "odd": 1.00}'
    members = sides[Task.CHAT].open(raw).members
    assert members["seed"] == b"12345678901234567890123"
    assert members["odd"] == b"1.00"


FACTORS = {
    "openai": 2.0, "azure": 2.0, "cohere": 5.0, "cohere-v1": 5.0, "anthropic": 1.0, "mosaicml": 1.0, "mlflow-model-serving": 1.0,
    "huggingface-text-generation-inference": 1.0, "mistral": 1.0, "together": 2.0,
}  # fmt: skip


@pytest.mark.parametrize("provider", FACTORS)
def test_the_temperature_is_in_the_upstreams_range(provider: str) -> None:
    target = Target(PROVIDERS[provider], "m", "http://127.0.0.1")
    side = A[Task.CHAT]
    request = decoded(side, {**CHAT, "temperature": 0.3})
    before = request.SerializeToString()
    assert side.fit is not None
    assert side.fit(request, target).temperature == pytest.approx(0.3 * FACTORS[provider])
    assert request.SerializeToString() == before, "the next upstream scales again"


@pytest.mark.parametrize("provider", FACTORS)
def test_a_temperature_that_was_not_given_is_not_made_up(provider: str) -> None:
    target = Target(PROVIDERS[provider], "m", "http://127.0.0.1")
    side = A[Task.CHAT]
    assert side.fit is not None
    assert not side.fit(decoded(side, CHAT), target).HasField("temperature")


def encoded(task: Task, answer: Message) -> Any:
    return json.loads(A[task].encode_response(answer))


def test_a_chat_answer_is_candidates_and_metadata() -> None:
    answer = pb.ChatResponse(model="gpt-1", usage=pb.Usage(input_tokens=3, output_tokens=4, total_tokens=7))
    choice = answer.choices.add(finish_reason=pb.FINISH_REASON_STOP)
    choice.message.role = pb.ROLE_ASSISTANT
    choice.message.content.add(text="hi")
    assert encoded(Task.CHAT, answer) == {
        "candidates": [{"message": {"role": "assistant", "content": "hi"}, "metadata": {"finish_reason": "stop"}}],
        "metadata": {
            "input_tokens": 3,
            "output_tokens": 4,
            "total_tokens": 7,
            "model": "gpt-1",
            "route_type": "llm/v1/chat",
        },
    }


def test_an_answer_without_text_has_an_empty_one_and_keeps_its_tool_calls() -> None:
    answer = pb.ChatResponse()
    choice = answer.choices.add(finish_reason=pb.FINISH_REASON_TOOL_CALLS)
    choice.message.tool_calls.add(id="c1", name="f", arguments_json="{}")
    candidate = encoded(Task.CHAT, answer)["candidates"][0]
    assert candidate["message"]["content"] == ""
    assert candidate["message"]["tool_calls"][0]["function"]["name"] == "f"
    assert candidate["metadata"] == {"finish_reason": "tool_calls"}


def test_a_completion_is_text_and_what_is_unknown_is_null() -> None:
    answer = pb.CompleteResponse(model="m")
    answer.choices.add(text="one")
    answer.choices.add(text="two", index=1, finish_reason=pb.FINISH_REASON_LENGTH)
    assert encoded(Task.COMPLETIONS, answer) == {
        "candidates": [
            {"text": "one", "metadata": {}},
            {"text": "two", "metadata": {"finish_reason": "length"}},
        ],
        "metadata": {
            "input_tokens": None,
            "output_tokens": None,
            "total_tokens": None,
            "model": "m",
            "route_type": "llm/v1/completions",
        },
    }


def test_vectors_are_numbers_in_the_order_of_the_texts_however_they_came() -> None:
    answer = pb.EmbedResponse(model="m", usage=pb.Usage(input_tokens=5, total_tokens=5))
    answer.embeddings.add(index=1, packed=b"\x00\x00\x80\x3f\x00\x00\x00\x40")
    answer.embeddings.add(index=0).values.values.extend([0.5])
    assert encoded(Task.EMBEDDINGS, answer) == {
        "embeddings": [[0.5], [1.0, 2.0]],
        "metadata": {
            "input_tokens": 5,
            "output_tokens": 0,
            "total_tokens": 5,
            "model": "m",
            "route_type": "llm/v1/embeddings",
        },
    }


def test_a_refusal_of_the_openai_reader_names_its_place_in_the_list() -> None:
    found = problems(A[Task.CHAT], {"messages": [{"role": "user", "content": "a", "tool_calls": 7}]})
    assert found[0]["loc"][:4] == ["body", "messages", 0, "tool_calls"]


def test_a_failure_of_a_provider_is_a_text() -> None:
    assert detail_of(GatewayError(Kind.INVALID_REQUEST, "no", param="n", status=400)) == "no"
    assert isinstance(detail_of(Violations([{"type": "t", "loc": ["body"], "msg": "m"}])), list)

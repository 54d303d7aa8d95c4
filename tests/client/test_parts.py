"""The client's own parts: kinds, events, retries, MLflow's dialects."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_gateway_client import InternalError, InvalidRequest, RateLimited, Retries, Unavailable, Unreachable
from llm_gateway_client.errors import FAMILIES, kind_of_http, of_kind
from llm_gateway_client.json_values import read_chat, read_chat_chunk, read_completion, read_embeddings
from llm_gateway_client.kinds import KINDS
from llm_gateway_client.mlflow_dialects import dialect_of
from llm_gateway_client.requests import chat
from llm_gateway_client.rest_failure import failure, failure_in_stream
from llm_gateway_client.sse import Events
from llm_gateway_client.values import Json, ToolCall

from adapters import Kind
from sidecar.domain.status import STATUS_ROWS

FEWER = settings(max_examples=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    [
        "choices",
        "message",
        "delta",
        "tool_calls",
        "function",
        "custom",
        "logprobs",
        "content",
        "usage",
        "data",
        "bytes",
        "error",
    ]
)
ANSWER = st.dictionaries(
    MEMBERS, st.recursive(JSON, lambda i: st.lists(st.dictionaries(MEMBERS, i, max_size=4), max_size=3))
)


def test_every_kind_of_the_gateway_has_codes_and_an_exception() -> None:
    assert {kind.value for kind in Kind} == KINDS.keys() == FAMILIES.keys()
    for kind, row in STATUS_ROWS.items():
        error = of_kind(kind.value, "x")
        assert (error.http_status, error.grpc_code) == (row.http, row.grpc.name)
        assert isinstance(error, FAMILIES[kind.value])


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_found_again_by_its_status_and_code(kind: str) -> None:
    row = KINDS[kind]
    assert kind_of_http(row.http, row.code, None) == kind


def test_a_providers_code_is_not_taken_for_ours() -> None:
    assert kind_of_http(424, "invalid_api_key", "api_error") == "upstream_rejected_credentials"
    assert kind_of_http(422, None, None) == "invalid_request"
    assert type(of_kind("of_a_later_version", "x")) is InternalError


@FEWER
@given(st.binary(), st.integers(300, 599))
def test_any_error_body_makes_an_error(body: bytes, status: int) -> None:
    error = failure(status, {"retry-after": "Thu"}, body, "id")
    assert (error.http_status, error.request_id, error.retry_after_s) == (status, "id", None)
    assert error.message


def test_a_core_that_died_under_the_call_is_unreachable_and_the_call_is_not_made_again() -> None:
    error = failure(503, {}, b'{"error":{"message":"gone","code":"core_unavailable"}}', "id")
    assert (type(error), error.may_retry) == (Unreachable, False)
    assert failure(503, {}, b'{"error":{"message":"later","code":"overloaded"}}', "id").may_retry


def test_mlflows_error_bodies_are_read_too() -> None:
    assert failure(404, {}, b'{"detail":"no such route"}', "").message == "no such route"
    listed = b'{"detail":[{"loc":["body","text"],"msg":"field required"}]}'
    assert isinstance(failure(422, {}, listed, ""), InvalidRequest)
    assert (failure(422, {}, listed, "").message, failure(422, {}, listed, "").param) == (
        "text: field required",
        "text",
    )
    assert failure_in_stream({"error": "broke"}, "").message == "broke"


@FEWER
@given(ANSWER)
def test_any_json_makes_an_answer(answer: Json) -> None:
    for read in (read_chat, read_chat_chunk, read_completion):
        assert read(answer).raw is answer


def test_a_custom_tools_call_is_read_and_goes_back() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    message = read_chat({"choices": [{"message": {"role": "assistant", "tool_calls": [call]}}]}).choices[0].message
    assert message.tool_calls == (ToolCall("c", "sql", "", "select 1"),)
    assert message.as_json() == {"role": "assistant", "tool_calls": [call]}


def test_numbers_and_base64_are_the_same_vector() -> None:
    numbers = read_embeddings({"data": [{"index": 0, "embedding": [0.5, -2]}]})
    packed = read_embeddings({"data": [{"index": 0, "embedding": "AAAAPwAAAMA="}]})
    assert numbers.vectors == packed.vectors == [(0.5, -2.0)]


@FEWER
@given(st.lists(st.integers(0, 60), max_size=6))
def test_any_cut_of_a_stream_gives_the_same_events(cuts: list[int]) -> None:
    stream = b'data: {"a":"\xe2\x80\xa8"}\r\n\r\n: keep-alive\n\ndata: one\ndata: two\n\nevent: x\ndata: 3\n\ndata: unfinished'
    events, found, last = Events(), [], 0
    for cut in sorted(cuts):
        found += events.feed(stream[last:cut])
        last = max(last, cut)
    found += events.feed(stream[last:])
    assert found == [b'{"a":"\xe2\x80\xa8"}', b"one\ntwo", b"3"]


@pytest.mark.parametrize(
    ("error", "attempt", "left_s", "tried"),
    [
        (RateLimited("x", may_retry=True, retry_after_s=2), 1, 60, True),
        (RateLimited("x", may_retry=True, retry_after_s=2), 3, 60, False),
        (RateLimited("x", may_retry=True, retry_after_s=11), 1, 60, False),
        (RateLimited("x", may_retry=True, retry_after_s=2), 1, 1, False),
        (RateLimited("x", may_retry=True), 1, 60, False),
        (RateLimited("x", may_retry=False, retry_after_s=2), 1, 60, False),
        (Unavailable("x", may_retry=True), 1, 60, True),
        (Unavailable("x"), 1, 60, False),
    ],
)
def test_what_is_tried_again(error: RateLimited, attempt: int, left_s: float, tried: bool) -> None:
    assert (Retries().wait_s(error, attempt, left_s) is not None) is tried


def test_what_only_reads_is_tried_again_whatever_became_of_it() -> None:
    assert Retries().wait_s(Unavailable("x"), 1, 60, repeatable=True) is not None
    assert Retries().wait_s(InternalError("x"), 1, 60, repeatable=True) is None


def test_an_extra_member_never_replaces_one_that_was_given() -> None:
    assert chat("r", "x", {"extra": {"top_k": 1}}).body["top_k"] == 1
    with pytest.raises(ValueError, match="temperature"):
        chat("r", "x", {"temperature": 1, "extra": {"temperature": 0}})


@pytest.mark.parametrize(
    ("data", "dialect"),
    [
        ({"prompt": "x"}, "A"),
        ({"prompt": "x", "candidate_count": 2}, "A"),
        ({"text": "x"}, "A"),
        ({"messages": []}, "A"),
        ({"messages": [], "n": 1}, "B"),
        ({"input": "x"}, "B"),
        ({"messages": [], "tools": []}, "B"),
    ],
)
def test_a_query_is_told_by_its_members(data: Json, dialect: str) -> None:
    assert dialect_of(data) == dialect


@pytest.mark.parametrize("data", [{"text": "x", "n": 1}, {"prompt": "x", "stream": True}])
def test_a_query_that_is_none_is_refused(data: Json) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        dialect_of(data)

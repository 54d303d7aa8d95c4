"""Why a call failed, from OpenAI's error bodies and those of servers like it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import FORMATS, Context, Event, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS

OPENAI = FORMATS["openai"]
CONTEXT = Context(0, lambda prefix: prefix + "1")


def error(status: int, body: Any, headers: dict[str, str] | None = None) -> GatewayError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return OPENAI.error(status, headers or {}, raw)


def inner(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


CONTEXT_WORDS = "This model's maximum context length is 8192 tokens."


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, inner("bad", type="invalid_request_error", param="n", code="invalid_value"), Kind.INVALID_REQUEST),
        (400, inner(CONTEXT_WORDS, code="context_length_exceeded"), Kind.CONTEXT_LENGTH_EXCEEDED),
        (400, inner(CONTEXT_WORDS, type="BadRequestError", code=400), Kind.CONTEXT_LENGTH_EXCEEDED),
        (400, inner("too much", type="exceed_context_size_error", code=400), Kind.CONTEXT_LENGTH_EXCEEDED),
        (400, inner("filtered", code="content_filter"), Kind.CONTENT_FILTERED),
        (401, inner("Incorrect API key", type="invalid_request_error", code="invalid_api_key"),
         Kind.UPSTREAM_REJECTED_CREDENTIALS),
        (401, inner("no", code="401"), Kind.UPSTREAM_REJECTED_CREDENTIALS),
        (402, inner("pay", code=402), Kind.QUOTA_EXHAUSTED),
        (403, inner("not allowed", type="invalid_request_error"), Kind.UPSTREAM_REJECTED_CREDENTIALS),
        (404, inner("no model", type="invalid_request_error", code="model_not_found"), Kind.UPSTREAM_NOT_FOUND),
        (404, inner("no chat model", type="invalid_request_error", param="model"), Kind.UPSTREAM_NOT_FOUND),
        (404, inner("gone", code="DeploymentNotFound"), Kind.UPSTREAM_NOT_FOUND),
        (413, inner("large"), Kind.REQUEST_TOO_LARGE),
        (429, inner("slow", type="requests", code="rate_limit_exceeded"), Kind.RATE_LIMITED),
        (429, inner("quota", type="insufficient_quota", code="insufficient_quota"), Kind.QUOTA_EXHAUSTED),
        (413, inner("TPM", type="tokens", code="rate_limit_exceeded"), Kind.RATE_LIMITED),
        (500, inner("oops", type="server_error"), Kind.UPSTREAM_UNAVAILABLE),
        (503, inner("full", type="invalid_request_error"), Kind.UPSTREAM_UNAVAILABLE),
        (504, inner("slow"), Kind.UPSTREAM_TIMEOUT),
    ],
)  # fmt: skip
def test_the_reason_comes_from_the_body_where_it_says_more_than_the_status(status: int, body: Any, kind: Kind) -> None:
    failure = error(status, body)
    assert (failure.kind, failure.status, failure.message) == (kind, status, body["error"]["message"])


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"object": "error", "message": "flat", "type": "t", "code": 40303}, "flat", None),
        ({"error": "a string"}, "a string", None),
        ({"code": "not found", "error": "xAI"}, "xAI", None),
        ({"detail": "Invalid API Key"}, "Invalid API Key", None),
        ({"detail": [{"loc": ["body"], "msg": "field required"}, {"msg": "too"}]}, "body: field required; too", None),
        ({"title": "Unauthenticated", "status": 401}, "Unauthenticated", None),
        ({"error_code": "BAD_REQUEST", "message": "Databricks"}, "Databricks", "BAD_REQUEST"),
        ([{"error": {"message": "in a list", "code": 400}}], "in a list", None),
        ("just a string", "just a string", None),
        (b"Not Found", "Not Found", None),
        (b"", "The provider answered HTTP 418.", None),
        (b"<html><h1>502</h1>", "The provider answered HTTP 418.", None),
        (b'{"error": {"mess', "The provider answered HTTP 418.", None),
        (b"\xff\xfe", "The provider answered HTTP 418.", None),
        (b"[" * 100_000, "The provider answered HTTP 418.", None),
        ({"error": {"message": {"a": 1}, "code": True, "param": 5}}, "The provider answered HTTP 418.", None),
        (inner("null code", code=None, type=None, param=None), "null code", None),
    ],
)
def test_the_message_is_found_in_any_of_the_shapes_servers_use(body: Any, message: str, code: str | None) -> None:
    failure = error(418, body)
    assert (failure.message, failure.code, failure.kind) == (message, code, Kind.INVALID_REQUEST)


def test_the_wait_comes_from_the_headers() -> None:
    assert error(429, {}, {"retry-after": "3"}).retry_after_s == 3
    assert error(429, {}, {"retry-after": "9", "retry-after-ms": "250"}).retry_after_s == 0.25
    assert error(429, {}, {"retry-after": "1", "retry-after-ms": "0"}).retry_after_s == 1
    assert error(429, {}, {"retry-after": "0"}).retry_after_s == 0
    assert error(429, {}, {"retry-after": "-1", "retry-after-ms": "nan"}).retry_after_s is None
    assert error(429, {}, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}).retry_after_s is None


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: (
        st.lists(inside, max_size=2)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "code", "type", "param", "msg"]), inside, max_size=4
        )
    ),
    max_leaves=8,
)


@given(st.integers(100, 599), st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_body_makes_it_raise(status: int, body: bytes) -> None:
    failure = OPENAI.error(status, {}, body)
    assert failure.status == status
    assert failure.message


def test_our_own_errors_are_written_in_openais_shape() -> None:
    assert OPENAI.encode_error is not None
    assert OPENAI.encode_stream_error is not None
    body = OPENAI.encode_error("api_error", 'say "ü"\n', None, "internal")
    assert json.loads(body) == {
        "error": {"message": 'say "ü"\n', "type": "api_error", "param": None, "code": "internal"}
    }
    assert OPENAI.encode_stream_error("api_error", 'say "ü"\n', None, "internal") == b"data: " + body + b"\n\n"


INSIDE_A_200 = [
    ({"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, Kind.INVALID_REQUEST),
    ({"object": "error", "message": "no", "code": "401"}, Kind.UPSTREAM_REJECTED_CREDENTIALS),
    ({"error": "slow down", "status": 429}, Kind.RATE_LIMITED),
    ({"error": "who are you", "statusCode": 401}, Kind.UPSTREAM_REJECTED_CREDENTIALS),
    ({"error": "pay", "error_code": 402}, Kind.QUOTA_EXHAUSTED),
    ({"error": {"message": "gone", "status_code": 404}}, Kind.UPSTREAM_NOT_FOUND),
    ({"message": "late", "statusCode": 504}, Kind.UPSTREAM_TIMEOUT),
    ({"error": "broken"}, Kind.UPSTREAM_UNAVAILABLE),
    ({"error": "broken", "status": "error"}, Kind.UPSTREAM_UNAVAILABLE),
]


@pytest.mark.parametrize(("body", "kind"), INSIDE_A_200)
@pytest.mark.parametrize("task", ["chat", "completions", "embeddings"])
def test_a_failure_inside_a_200_has_the_kind_of_the_status_it_names_wherever_that_stands(
    task: str, body: dict[str, Any], kind: Kind
) -> None:
    side = OPENAI.provider[Task(task)]
    raw = json.dumps(body).encode()
    for read in (lambda: side.decode(raw, CONTEXT), lambda: side.check and side.check(raw)):
        with pytest.raises(GatewayError) as failure:
            read()
        assert failure.value.kind is kind
        assert failure.value.message == body.get("message", body.get("error")) or failure.value.message == "gone"


@pytest.mark.parametrize(("body", "kind"), INSIDE_A_200)
def test_a_failure_in_a_stream_has_it_too(body: dict[str, Any], kind: Kind) -> None:
    side = OPENAI.provider[Task.CHAT]
    row = PROVIDERS["openai-compatible"]
    for open_stream in (side.stream, side.observe):
        assert open_stream is not None
        decoder = open_stream(Target(row, "m", "http://h"), CONTEXT)
        with pytest.raises(GatewayError) as failure:
            decoder.feed(Event("", json.dumps(body).encode(), b""))
        assert failure.value.kind is kind

"""Errors as callers of the Messages API read them."""

from __future__ import annotations

import json

import pytest

from adapters import GatewayError, Kind
from adapters.anthropic import encode_error, encode_error_event, status_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens.",
            "prompt is too long: 130001 tokens > 128000 maximum. This model's",
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages).",
            "prompt is too long: 5000 tokens > 4096 maximum. ",
        ),
        (
            "The input token count (1,200,000) exceeds the maximum number of tokens allowed (1,048,576).",
            "prompt is too long: 1200000 tokens > 1048576 maximum. ",
        ),
        (
            "too many tokens for model gpt-4-0613: total number of tokens in the prompt cannot exceed 4081 - received 5000.",
            "prompt is too long: 5000 tokens > 4081 maximum. ",
        ),
        ("Input is too long for model m-128000.", "prompt is too long. Input is"),
        ("prompt is too long: 7 tokens > 5 maximum", "prompt is too long: 7 tokens > 5 maximum"),
    ],
)
def test_a_prompt_that_is_too_long_is_told_in_the_words_that_programs_parse(text: str, words: str) -> None:
    body = json.loads(encode_error(GatewayError(Kind.CONTEXT_LENGTH_EXCEEDED, text), "r-1"))
    assert body["error"]["message"].startswith(words)
    assert body["error"]["message"].endswith(text)
    assert (body["type"], body["error"]["type"], body["request_id"]) == ("error", "invalid_request_error", "r-1")


def test_every_kind_has_a_type_of_the_api() -> None:
    types = {
        *("invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error"),
        *("conflict_error", "request_too_large", "rate_limit_error", "api_error", "timeout_error", "overloaded_error"),
    }
    for kind in Kind:
        body = json.loads(encode_error(GatewayError(kind, "no", code="word"), "r-1"))
        assert body["error"]["type"] in types
        assert body["error"]["details"] == {"error_code": "word"}


def test_statuses_are_those_of_the_types() -> None:
    assert status_of(GatewayError(Kind.BUDGET_EXCEEDED, "no")) == 402
    assert status_of(GatewayError(Kind.OVERLOADED, "no")) == 529
    assert status_of(GatewayError(Kind.UPSTREAM_UNAVAILABLE, "no", status=529)) == 529
    assert status_of(GatewayError(Kind.UPSTREAM_UNAVAILABLE, "no", status=500)) is None


def test_the_event_has_a_name() -> None:
    event = encode_error_event(GatewayError(Kind.INTERNAL, "no"), "r-1")
    assert event.startswith(b'event: error\ndata: {"type":"error"')
    assert event.endswith(b"}\n\n")

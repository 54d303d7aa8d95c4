"""What a failure is, by the words of those who report it: documented errors and public reports, in every format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Kind
from adapters.openai.failure import described

GENERIC = ("openai", "anthropic", "cohere", "huggingface", "mlflow")


def failure(status: int, body: Any, format_: str = "openai") -> GatewayError:
    return FORMATS[format_].error(status, {}, json.dumps(body).encode())


def of(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


TOO_LONG = [
    "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
    "Input length (9000 tokens) exceeds the maximum allowed length (4090 tokens). Use a shorter input.",
    "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
    "The prompt (total length 5000) is too long to fit into the model (context length 4096).",
    "Unable to submit request because the input token count is 2000000 but model only supports up to 1048576.",
    "Input length 9000 exceeds maximum allowed token size 8192",
    "Input length 9000 exceeds maximum context length 8192",
    "Requested tokens (9000) exceed context window of 4096",
    "The total number of tokens (prompt + max_tokens) 9000 exceeds the model's limit of 8192",
    "The input is longer than the maximum sequence length",
    "inputs tokens + max_new_tokens exceeds maximum sequence length of 4096",
    "Prompt exceeds max length",
]
CONTENT = [
    "Your request was rejected as a result of our safety system.",
    "Content Exists Risk",
    "Input data may contain inappropriate content.",
    "The request was rejected because it was considered high risk",
    "Invalid prompt: we've limited access to this content for safety reasons.",
    "Output blocked by content filtering policy",
]
QUOTA = [
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
    "You have reached your specified API usage limits. You will regain access on 2025-11-01 at 00:00 UTC.",
    "Billing hard limit has been reached",
    "Insufficient Balance",
    "Your newly created team doesn't have any credits yet. You can purchase credits on https://console.x.ai/team/x.",
    "Your team has either used all available credits or reached its monthly spending limit.",
    "Your account org-x<ak-y> is suspended, please check your plan and billing details",
    "Insufficient balance or no resource package. Please recharge.",
]
REGION = [
    "Country, region, or territory not supported",
    "User location is not supported for the API use.",
    "The model grok-4 is not available in your region.",
    "Request not allowed",
]
NO_MODEL = [
    "The model `mistral-saba-24b` has been decommissioned and is no longer supported.",
    "Invalid model: mistral-foo",
    "invalid model ID",
    "foo/bar is not a valid model ID",
    "Model not found: grok-9",
    "Model Not Exist",
]
BAD_KEY = [
    "Incorrect API key provided: xa***. You can obtain an API key from a console.",
    "Authorization header is correct, but the token seems invalid",
    "Invalid access token.",
]


@pytest.mark.parametrize("format_", GENERIC)
@pytest.mark.parametrize(
    ("text", "status", "kind"),
    [
        *((text, 400, Kind.CONTEXT_LENGTH_EXCEEDED) for text in TOO_LONG),
        *((text, status, Kind.CONTENT_FILTERED) for text in CONTENT for status in (400, 403)),
        *((text, status, Kind.QUOTA_EXHAUSTED) for text in QUOTA for status in (400, 403, 429)),
        *((text, status, Kind.INVALID_REQUEST) for text in REGION for status in (400, 403)),
        *((text, 400, Kind.UPSTREAM_NOT_FOUND) for text in NO_MODEL),
        *((text, 400, Kind.UPSTREAM_REJECTED_CREDENTIALS) for text in BAD_KEY),
    ],
)
def test_the_words_say_what_it_is(text: str, status: int, kind: Kind, format_: str) -> None:
    for body in (of(text), {"message": text}):
        error = failure(status, body, format_)
        assert (error.kind, error.message) == (kind, text)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.", Kind.INVALID_REQUEST),
        (400, "Invalid 'messages[0].content': string too long. Expected a maximum length of 1048576.", Kind.INVALID_REQUEST),
        (400, "'user' exceeds maximum length 64", Kind.INVALID_REQUEST),
        (400, "Invalid token in prompt: 123456.", Kind.INVALID_REQUEST),
        (400, "Invalid model output format: use json_schema.", Kind.INVALID_REQUEST),
        (400, "This model does not support images.", Kind.INVALID_REQUEST),
        (403, "You are not allowed to sample from this model", Kind.UPSTREAM_REJECTED_CREDENTIALS),
        (401, "Your account is suspended.", Kind.UPSTREAM_REJECTED_CREDENTIALS),
        (429, "Rate limit reached for gpt-4o on tokens per min. Please try again in 2s.", Kind.RATE_LIMITED),
        (429, "You exceeded your current quota, please check your plan and billing details.", Kind.RATE_LIMITED),
        (500, "The server had an error while processing your request.", Kind.UPSTREAM_UNAVAILABLE),
        (503, "No capacity: insufficient balance of load.", Kind.UPSTREAM_UNAVAILABLE),
    ],
)  # fmt: skip
def test_other_words_leave_it_what_the_status_says(status: int, text: str, kind: Kind) -> None:
    assert failure(status, of(text)).kind is kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, of("You exceeded your current quota.", code="insufficient_quota"), Kind.QUOTA_EXHAUSTED),
        (429, of("Not active.", code="billing_not_active"), Kind.QUOTA_EXHAUSTED),
        (429, of("No.", type="exceeded_current_quota_error"), Kind.QUOTA_EXHAUSTED),
        (403, of("Make sure your account is in good standing.", code="Arrearage"), Kind.QUOTA_EXHAUSTED),
        (400, of("Rejected.", code="moderation_blocked"), Kind.CONTENT_FILTERED),
        (400, of("Rejected.", code="data_inspection_failed"), Kind.CONTENT_FILTERED),
        (400, of("Gone.", code="model_decommissioned"), Kind.UPSTREAM_NOT_FOUND),
        (413, of("Request too large for model `m` on tokens per minute (TPM)", code="rate_limit_exceeded"), Kind.RATE_LIMITED),
        (498, of("Flex tier capacity exceeded", code="capacity_exceeded"), Kind.UPSTREAM_UNAVAILABLE),
    ],
)  # fmt: skip
def test_codes_count_too(status: int, body: Any, kind: Kind) -> None:
    assert failure(status, body).kind is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("insufficient balance", Kind.QUOTA_EXHAUSTED),
        ("input new_sensitive", Kind.CONTENT_FILTERED),
        ("invalid params, context window exceeds limit", Kind.CONTEXT_LENGTH_EXCEEDED),
        ("rate limit exceeded(RPM)", Kind.RATE_LIMITED),
        ("invalid api key", Kind.UPSTREAM_REJECTED_CREDENTIALS),
        ("unknown error", Kind.UPSTREAM_UNAVAILABLE),
    ],
)
def test_an_error_inside_a_200_is_known_by_its_words(text: str, kind: Kind) -> None:
    body = {"choices": None, "base_resp": {"status_code": 1000, "status_msg": text}}
    error = described(json.dumps(body).encode())
    assert error is not None
    assert (error.kind, error.message) == (kind, text)

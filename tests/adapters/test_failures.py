"""Why a call failed, where the status says little: the same words mean the same in every format, and reach the caller."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters import FORMATS, Context, Event, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS

CONTEXT = Context(now_s=0, new_id=lambda prefix: prefix + "1")
TARGET = Target(PROVIDERS["openai"], "m", "http://h")
FAILING = ("openai", "anthropic", "cohere", "cohere-v1", "huggingface", "mlflow", "mosaicml")


def failure(status: int, body: Any, format_: str = "openai", headers: dict[str, str] | None = None) -> GatewayError:
    error = FORMATS[format_].error
    assert error is not None
    return error(status, headers or {}, json.dumps(body).encode())


def of_openai(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


TOO_LONG = [
    "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
    "Input tokens exceed the configured limit of 272000 tokens.",
    "The input token count (2000000) exceeds the maximum number of tokens allowed (1048575).",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "The input (9000 tokens) is longer than the model's context length (4096 tokens).",
    "Requested token count exceeds the model's maximum context length of 4096 tokens.",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "the request exceeds the available context size, try increasing it",
    "the input length exceeds the context length",
    "prompt is too long: 3000 tokens > 2000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 20000 > 200000",
    "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4900.",
    "Prompt contains 70000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000",
    "Input is too long for requested model.",
    "prompt too long; exceeded max context length by 11 tokens",
    "The total length of all messages is too long.",
    "input (3000 tokens) is too large to process. increase the physical batch size",
]


@pytest.mark.parametrize("format_", FAILING)
@pytest.mark.parametrize("text", TOO_LONG)
def test_a_prompt_that_is_too_long_is_that_from_every_provider(text: str, format_: str) -> None:
    for status, body in ((400, of_openai(text, code=400)), (422, {"message": text}), (400, {"detail": text})):
        error = failure(status, body, format_)
        assert (error.kind, error.code, error.message) == (Kind.CONTEXT_LENGTH_EXCEEDED, None, text)


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "Unsupported parameter: 'max_tokens' is not supported with this model.",
        "Invalid token in prompt: 123456.",
        "The prompt must be a string.",
    ],
)
def test_other_words_about_tokens_are_no_full_context(text: str) -> None:
    assert failure(400, of_openai(text)).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize("format_", FAILING)
@pytest.mark.parametrize(
    "body",
    [
        of_openai("Incorrect API key provided: ab***cd. You can obtain one at a console."),
        of_openai("API key expired. Please renew the API key."),
        of_openai("Request denied.", details=[{"@type": "x/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]),
        {"error": "API key not valid"},
    ],
)
def test_a_400_for_the_gateways_key_is_not_the_callers_fault(body: Any, format_: str) -> None:
    assert failure(400, body, format_).kind is Kind.UPSTREAM_REJECTED_CREDENTIALS


@pytest.mark.parametrize("format_", FAILING)
@pytest.mark.parametrize(
    "body",
    [
        {"code": "A sentence is no code", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_Y"},
        of_openai('This model requires moderation. Your input was flagged for "violence".', code=403),
        of_openai("Your request was rejected by our safety system."),
    ],
)
def test_a_403_for_content_does_not_blame_the_gateways_key(body: Any, format_: str) -> None:
    error = failure(403, body, format_)
    assert (error.kind, error.code) == (Kind.CONTENT_FILTERED, None)
    assert error.message


def test_a_403_for_the_region_does_not_blame_the_gateways_key() -> None:
    text = "Country, region, or territory not supported"
    error = failure(403, of_openai(text, code="unsupported_country_region_territory"))
    assert (error.kind, error.message) == (Kind.INVALID_REQUEST, text)
    assert failure(400, of_openai("User location is not supported for the API use.")).kind is Kind.INVALID_REQUEST


@pytest.mark.parametrize("format_", FAILING)
@pytest.mark.parametrize("status", [401, 403])
def test_a_plain_refusal_of_the_key_stays_one(status: int, format_: str) -> None:
    assert failure(status, of_openai("Forbidden."), format_).kind is Kind.UPSTREAM_REJECTED_CREDENTIALS


def test_a_500_for_what_the_caller_sent_is_the_callers_fault() -> None:
    assert failure(500, of_openai("image input is not supported - hint: no mmproj")).kind is Kind.INVALID_REQUEST
    assert failure(500, of_openai("out of memory")).kind is Kind.UPSTREAM_UNAVAILABLE


@pytest.mark.parametrize(
    ("body", "wait_s"),
    [
        (of_openai("Quota.", details=[{"@type": "x/google.rpc.RetryInfo", "retryDelay": "12.25s"}]), 12.25),
        ([of_openai("Quota.", details=[{"retryDelay": "7s"}])], 7),
        (of_openai("Rate limit reached. Please try again in 1m2.5s."), 62.5),
        (of_openai("Rate limit reached. Please try again in 250ms."), 0.25),
        (of_openai("Please retry after 27 seconds."), 27),
        (of_openai("Slow down.", details=[{"retryDelay": "soon"}]), None),
        (of_openai("Slow down.", details="none"), None),
    ],
)
def test_the_wait_that_only_the_body_has_is_read(body: Any, wait_s: float | None) -> None:
    for format_ in FAILING:
        assert failure(429, body, format_).retry_after_s == wait_s
    assert failure(429, body, headers={"retry-after": "3"}).retry_after_s == 3


@pytest.mark.parametrize("format_", FAILING)
@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"detail": [{"loc": ["body", "top_k"], "msg": "Not permitted"}]}, ["body.top_k: Not permitted"]),
        ({"message": {"detail": [{"loc": ["body", "n", 0], "msg": "Too many"}]}}, ["body.n.0: Too many"]),
        ({"detail": {"message": "Nested."}}, ["Nested."]),
        ({"error": '{"error": {"message": "In a string."}}'}, ["In a string."]),
        ({"errors": ["First.", {"message": "Second."}]}, ["First.; Second."]),
        ({"base_resp": {"status_code": 2013, "status_msg": "bad role"}}, ["bad role"]),
    ],
)
def test_the_reason_is_found_wherever_it_is(body: Any, texts: list[str], format_: str) -> None:
    error = failure(422, body, format_)
    assert [error.message] == texts


def test_what_a_provider_behind_openrouter_answered_is_in_the_message() -> None:
    raw = json.dumps({"error": {"message": "Too many tools."}})
    for quoted, text in ((raw, "Too many tools."), ("plain words", "plain words")):
        metadata = {"raw": quoted, "provider_name": "Host"}
        error = failure(400, of_openai("Provider returned error", code=400, metadata=metadata))
        assert error.message == f"Provider returned error (Host: {text})"


def test_azures_verdict_by_category_is_in_the_message() -> None:
    verdict = {"violence": {"filtered": True, "severity": "medium"}, "hate": {"filtered": False, "severity": "safe"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": verdict}
    error = failure(400, of_openai("Filtered.", code="content_filter", innererror=inner))
    assert error.kind is Kind.CONTENT_FILTERED
    assert error.message == 'Filtered. (content_filter_result: {"violence":{"filtered":true,"severity":"medium"}})'


def test_the_tool_call_that_groq_could_not_read_is_in_the_message() -> None:
    error = failure(400, of_openai("Failed to call a function.", code="tool_use_failed", failed_generation="<f{x>"))
    assert (error.code, error.message) == ("tool_use_failed", "Failed to call a function. (failed_generation: <f{x>)")


@pytest.mark.parametrize("format_", FAILING)
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": None, "metadata": [], "innererror": {"content_filter_result": 1}, "details": {}}},
        {"error": {"metadata": {"raw": ["{" * 50]}}},
        {"detail": [[[[[[[["deep"]]]]]]]]},
        [[]],
        [1],
        None,
        {"error": [{"loc": {"a": 1}, "msg": ["x"]}]},
    ],
)
def test_a_strange_body_is_no_second_failure(body: Any, format_: str) -> None:
    assert failure(400, body, format_).status == 400


def test_a_long_message_costs_no_time_and_stays_whole() -> None:
    text = "prompt tokens " * 20_000
    assert failure(400, of_openai(text)).message == text.strip()


@pytest.mark.parametrize("task", [Task.CHAT, Task.COMPLETIONS, Task.EMBEDDINGS])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"id": "x", "choices": None, "base_resp": {"status_code": 1013, "status_msg": "no balance"}}, "no balance"),
        ({"detail": "The model is loading."}, "The model is loading."),
        ({"object": "error", "message": "Engine stopped.", "code": 50001}, "Engine stopped."),
        ({"success": False, "errors": [{"code": 7, "message": "No account."}]}, "No account."),
    ],
)
def test_a_200_that_is_a_failure_brings_the_providers_words(body: Any, text: str, task: Task) -> None:
    side = FORMATS["openai"].provider[task]
    raw = json.dumps(body).encode()
    assert side.check is not None
    reads: list[Callable[[], object]] = [lambda: side.decode(raw, CONTEXT), lambda: side.check and side.check(raw)]
    if side.stream is not None and "choices" not in body:
        stream = side.stream
        reads.append(lambda: stream(TARGET, CONTEXT).feed(Event("", raw, raw)))
    for read in reads:
        with pytest.raises(GatewayError) as failed:
            read()
        assert (failed.value.kind, failed.value.message) == (Kind.UPSTREAM_UNAVAILABLE, text)

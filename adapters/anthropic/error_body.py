"""Errors in the format of the Messages API (https://docs.anthropic.com/en/api/errors)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters.errors import GatewayError, Kind

_API_ERROR = "api_error"  # all other kinds: a failure of the provider or the gateway
_OVERLOADED = 529
_TOO_LONG = "prompt is too long"
# Numbers of tokens; shorter ones are parts of names and versions. The first two are limit and request, in either
# order.
_NUMBERS = re.compile(r"(?<![\w.,-])(?:\d{1,3}(?:,\d{3}){1,2}|\d{3,9})(?![\w.-]{0,80}[A-Za-z-])")
_SEARCHED_CHARS_MAX = 1_000
_OVERLOADED_ERROR = "overloaded_error"
_OF_THREADS = {404: "not_found_error", 409: "conflict_error"}
_TYPES = {
    Kind.REQUEST_TOO_LARGE: "request_too_large",
    Kind.UNAUTHENTICATED: "authentication_error",
    Kind.PERMISSION_DENIED: "permission_error",
    Kind.ROUTE_NOT_FOUND: "not_found_error",
    Kind.ALREADY_EXISTS: "conflict_error",
    Kind.CONFLICT: "conflict_error",
    Kind.FAILED_PRECONDITION: "conflict_error",
    Kind.RATE_LIMITED: "rate_limit_error",
    Kind.QUOTA_EXHAUSTED: "billing_error",
    Kind.BUDGET_EXCEEDED: "billing_error",
    Kind.OVERLOADED: _OVERLOADED_ERROR,
    Kind.UPSTREAM_TIMEOUT: "timeout_error",
    **dict.fromkeys(
        (
            Kind.INVALID_REQUEST,
            Kind.CONTEXT_LENGTH_EXCEEDED,
            Kind.UNSUPPORTED_PARAMETER,
            Kind.CONTENT_FILTERED,
            Kind.METHOD_NOT_ALLOWED,
            Kind.UNSUPPORTED_MEDIA_TYPE,
        ),
        "invalid_request_error",
    ),
}
# The statuses of these types; other kinds have the same status in all APIs.
_STATUSES = {Kind.QUOTA_EXHAUSTED: 402, Kind.BUDGET_EXCEEDED: 402, Kind.OVERLOADED: _OVERLOADED}


def status_of(error: GatewayError) -> int | None:
    """Returns the HTTP status if it differs from OpenAI's API."""
    if error.kind is Kind.UPSTREAM_UNAVAILABLE and error.status == _OVERLOADED:
        return _OVERLOADED
    if _is_of_a_thread(error):
        return error.status
    return _STATUSES.get(error.kind)


def encode_error(error: GatewayError, request_id: str) -> bytes:
    """The body. `details.error_code` is for programs to compare: the provider's code, or ours for the kind."""
    return msgspec.json.encode(_body(error, request_id))


def encode_error_event(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a stream."""
    return b"event: error\ndata: " + encode_error(error, request_id) + b"\n\n"


def _message(error: GatewayError) -> str:
    """Reports a prompt that is too long in Anthropic's words, which programs parse, including both numbers if the
    provider gave them, followed by the provider's own message."""
    text = error.message
    if error.kind is not Kind.CONTEXT_LENGTH_EXCEEDED or text.startswith(_TOO_LONG):
        return text
    numbers = [int(each.replace(",", "")) for each in _NUMBERS.findall(text[:_SEARCHED_CHARS_MAX])][:2]
    if len(numbers) < 2 or numbers[0] == numbers[1]:
        return f"{_TOO_LONG}. {text}"
    return f"{_TOO_LONG}: {max(numbers)} tokens > {min(numbers)} maximum. {text}"


def _is_of_a_thread(error: GatewayError) -> bool:
    """A conversation stored by Anthropic is lost or busy. Its SDKs can recover if the error is passed on unchanged."""
    return error.status is not None and (error.code or "").startswith("thread_")


def _body(error: GatewayError, request_id: str) -> dict[str, Any]:
    type_ = _TYPES.get(error.kind, _API_ERROR)
    if type_ == _API_ERROR and (error.status == _OVERLOADED or error.code == _OVERLOADED_ERROR):
        type_ = _OVERLOADED_ERROR  # the provider's own word, in a stream without a status
    if _is_of_a_thread(error) and error.status in _OF_THREADS:
        type_ = _OF_THREADS[error.status]
    found: dict[str, Any] = {"type": type_, "message": _message(error)}
    if error.code and error.code != type_:
        found["details"] = {"error_code": error.code}
    return {"type": "error", "error": found, "request_id": request_id}

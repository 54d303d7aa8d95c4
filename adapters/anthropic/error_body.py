"""Errors as callers of the Messages API read them (https://docs.anthropic.com/en/api/errors)."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.errors import GatewayError, Kind

_API_ERROR = "api_error"  # what else there is: the provider's failure, or the gateway's
_OVERLOADED = 529
_OVERLOADED_ERROR = "overloaded_error"
_TYPES = {
    Kind.REQUEST_TOO_LARGE: "request_too_large",
    Kind.UNAUTHENTICATED: "authentication_error",
    Kind.PERMISSION_DENIED: "permission_error",
    Kind.ROUTE_NOT_FOUND: "not_found_error",
    Kind.ALREADY_EXISTS: "conflict_error",
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
# The statuses that go with these types; the other kinds have the status of every door.
_STATUSES = {Kind.QUOTA_EXHAUSTED: 402, Kind.BUDGET_EXCEEDED: 402, Kind.OVERLOADED: _OVERLOADED}


def status_of(error: GatewayError) -> int | None:
    """The HTTP status where it is another than that of OpenAI's door."""
    if error.kind is Kind.UPSTREAM_UNAVAILABLE and error.status == _OVERLOADED:
        return _OVERLOADED
    return _STATUSES.get(error.kind)


def encode_error(error: GatewayError, request_id: str) -> bytes:
    """The body. `details.error_code` is what programs compare: the provider's own word, or ours of the kind."""
    return msgspec.json.encode(_body(error, request_id))


def encode_error_event(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a stream."""
    return b"event: error\ndata: " + encode_error(error, request_id) + b"\n\n"


def _body(error: GatewayError, request_id: str) -> dict[str, Any]:
    type_ = _TYPES.get(error.kind, _API_ERROR)
    if type_ == _API_ERROR and (error.status == _OVERLOADED or error.code == _OVERLOADED_ERROR):
        type_ = _OVERLOADED_ERROR  # the provider's own word, in a stream without a status
    found: dict[str, Any] = {"type": type_, "message": error.message}
    if error.code and error.code != type_:
        found["details"] = {"error_code": error.code}
    return {"type": "error", "error": found, "request_id": request_id}

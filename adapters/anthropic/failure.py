"""Classifies failures from error bodies and error events."""

from __future__ import annotations

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.failures import Failure, gateway_error, read_failure
from adapters.http_errors import kind_of_status
from adapters.json_object import Obj

# https://docs.anthropic.com/en/api/errors
_KINDS = {
    "invalid_request_error": Kind.INVALID_REQUEST,
    "authentication_error": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "permission_error": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "billing_error": Kind.QUOTA_EXHAUSTED,
    "not_found_error": Kind.UPSTREAM_NOT_FOUND,
    "request_too_large": Kind.REQUEST_TOO_LARGE,
    "rate_limit_error": Kind.RATE_LIMITED,
    "timeout_error": Kind.UPSTREAM_TIMEOUT,
    "api_error": Kind.UPSTREAM_UNAVAILABLE,
    "overloaded_error": Kind.UPSTREAM_UNAVAILABLE,
}

# Only the message of an invalid_request_error reveals these (in lower case here).
_WORDS = (("credit balance is too low", Kind.QUOTA_EXHAUSTED), ("api usage limits", Kind.QUOTA_EXHAUSTED))


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """Classifies a failed HTTP answer. Never raises, whatever the body."""
    failure = read_failure(body)
    kind = _kind(failure) or kind_of_status(status)
    return gateway_error(kind, failure, word=failure.detail or failure.type, status=status, headers=headers)


def in_band_error(answer: Obj) -> GatewayError:
    """Classifies an error object that came with HTTP 200."""
    failure = read_failure(b'{"error":' + (answer.take("error") or b"{}") + b"}")
    return gateway_error(_kind(failure) or Kind.UPSTREAM_UNAVAILABLE, failure, word=failure.detail or failure.type)


def _kind(failure: Failure) -> Kind | None:
    kind = _KINDS.get(failure.type)
    if kind is Kind.INVALID_REQUEST:
        words = failure.words().lower()
        return next((kind for phrase, kind in _WORDS if phrase in words), kind)
    return kind

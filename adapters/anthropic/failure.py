"""Why a call failed, from an error body or an error event.

Messages stay whole: a cut here could split a key and so hide it from the redaction that follows.
"""

from __future__ import annotations

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.http_errors import kind_of_status, retry_after_s
from adapters.json_object import Obj, of_answer

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

# The API says these in the words of an invalid_request_error only (lower case here).
_WORDS = (
    ("prompt is too long", Kind.CONTEXT_LENGTH_EXCEEDED),
    ("exceed context limit", Kind.CONTEXT_LENGTH_EXCEEDED),
    ("credit balance is too low", Kind.QUOTA_EXHAUSTED),
    ("api usage limits", Kind.QUOTA_EXHAUSTED),
    ("content filtering policy", Kind.CONTENT_FILTERED),
)


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """The reason of a failed HTTP answer; never raises, whatever the body."""
    type_, message = _read(body)
    kind = _kind(type_, message) or kind_of_status(status)
    shown = message or f"The provider answered HTTP {status}."
    return GatewayError(kind, shown, code=type_ or None, retry_after_s=retry_after_s(headers), status=status)


def in_band_error(answer: Obj) -> GatewayError:
    """The reason in an error object that came with HTTP 200; its members are not of the format if this raises."""
    type_, message = _type_and_message(answer)
    kind = _kind(type_, message) or Kind.UPSTREAM_UNAVAILABLE
    return GatewayError(kind, message or "The provider sent an error without a message.", code=type_ or None)


def _read(body: bytes) -> tuple[str, str]:
    try:
        return _type_and_message(Obj(body, "", of_answer))
    except GatewayError:
        return "", ""


def _type_and_message(answer: Obj) -> tuple[str, str]:
    failure = answer.object("error")
    return ("", "") if failure is None else (failure.string("type") or "", failure.string("message") or "")


def _kind(type_: str, message: str) -> Kind | None:
    kind = _KINDS.get(type_)
    if kind is Kind.INVALID_REQUEST:
        words = message.lower()
        return next((kind for phrase, kind in _WORDS if phrase in words), kind)
    return kind

"""Why a call failed: Cohere's flat error bodies, and failures inside an answer of 200."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.http_errors import kind_of_status, retry_after_s
from adapters.json_object import MALFORMED, Obj

# https://docs.cohere.com/reference/errors; 498 is Cohere's own status for a token it does not take.
_STATUSES = {498: Kind.UPSTREAM_REJECTED_CREDENTIALS, 499: Kind.UPSTREAM_TIMEOUT, 501: Kind.INVALID_REQUEST}
_TYPES = {"TOO_MANY_TOKENS": Kind.CONTEXT_LENGTH_EXCEEDED}
# What only words tell. A trial key's month is over with the status of a rate limit.
_WORDS = (
    (re.compile(r"too many tokens|maximum context length", re.IGNORECASE), Kind.CONTEXT_LENGTH_EXCEEDED),
    (re.compile(r"calls\s*/\s*month|billing limit|payment", re.IGNORECASE), Kind.QUOTA_EXHAUSTED),
)
_WORDY = frozenset({Kind.INVALID_REQUEST, Kind.RATE_LIMITED})
_ANY = msgspec.json.Decoder()
# Proxies answer a line of text at times; more than that is a page.
_PLAIN_CHARS_MAX = 500


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """The reason of a failed HTTP answer; never raises, whatever the body."""
    message, type_ = _read(body)
    kind = _TYPES.get(type_) or _STATUSES.get(status) or kind_of_status(status)
    if kind in _WORDY:
        kind = next((known for pattern, known in _WORDS if pattern.search(message)), kind)
    shown = message or f"The provider answered HTTP {status}."
    return GatewayError(kind, shown, code=type_ or None, retry_after_s=retry_after_s(headers), status=status)


def in_band(answer: Obj) -> GatewayError:
    """The reason in an answer or event whose finish reason is ERROR, or that has the shape of an error body. Generating failed,
    so another try may help."""
    type_ = answer.string("error_type") or ""
    message = answer.string("error") or answer.string("message")
    if message is None:
        message = "The provider could not generate an answer."
    return GatewayError(_TYPES.get(type_, Kind.UPSTREAM_UNAVAILABLE), message, code=type_ or None)


def protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {what}.")


def _read(body: bytes) -> tuple[str, str]:
    """Message and type, as far as the body has them."""
    try:
        value = _ANY.decode(body)
    except MALFORMED:
        return _plain(body), ""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else "", ""
    inner: dict[str, Any] = value["error"] if isinstance(value.get("error"), dict) else value
    texts = [inner.get(name) for name in ("message", "error", "detail")]
    type_ = inner.get("error_type")
    return next((one for one in texts if isinstance(one, str) and one), ""), type_ if isinstance(type_, str) else ""


def _plain(body: bytes) -> str:
    """A line of plain text; an HTML page or half of a JSON body says nothing to a caller."""
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= _PLAIN_CHARS_MAX and text.isprintable() and text[:1] not in ("<", "{", "[") else ""

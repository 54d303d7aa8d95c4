"""Why a call failed: error bodies, and error objects inside a 200. Also of servers that only resemble OpenAI's."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.http_errors import kind_of_status, retry_after_s
from adapters.json_object import MALFORMED, Obj

# https://platform.openai.com/docs/guides/error-codes, and the words of Azure, vLLM, llama.cpp, OpenRouter and Groq.
_KINDS = {
    "context_length_exceeded": Kind.CONTEXT_LENGTH_EXCEEDED,
    "exceed_context_size_error": Kind.CONTEXT_LENGTH_EXCEEDED,
    "content_filter": Kind.CONTENT_FILTERED,
    "content_policy_violation": Kind.CONTENT_FILTERED,
    "insufficient_quota": Kind.QUOTA_EXHAUSTED,
    "billing_hard_limit_reached": Kind.QUOTA_EXHAUSTED,
    "rate_limit_exceeded": Kind.RATE_LIMITED,
    "rate_limit_error": Kind.RATE_LIMITED,
    "invalid_api_key": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "authentication_error": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "permission_error": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "model_not_found": Kind.UPSTREAM_NOT_FOUND,
    "DeploymentNotFound": Kind.UPSTREAM_NOT_FOUND,
    "invalid_request_error": Kind.INVALID_REQUEST,
    "server_error": Kind.UPSTREAM_UNAVAILABLE,
    "api_error": Kind.UPSTREAM_UNAVAILABLE,
    "overloaded_error": Kind.UPSTREAM_UNAVAILABLE,
}
# Where the code says nothing: vLLM, llama.cpp and older OpenAI models only use words.
_TOO_LONG = re.compile(r"maximum context length|context (?:size|window)|prompt is too long", re.IGNORECASE)
# A type that says less than the status does.
_VAGUE = frozenset({Kind.INVALID_REQUEST, Kind.UPSTREAM_UNAVAILABLE})
_ANY = msgspec.json.Decoder()
# Proxies and model servers answer a line of text at times; more than that is a page.
_PLAIN_CHARS_MAX = 500


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """The reason of a failed HTTP answer; never raises, whatever the body."""
    message, type_, code, param = _words(body)
    kind = kind_of_status(status)
    named = _KINDS.get(code or "") or _KINDS.get(type_ or "")
    if named is not None and named not in _VAGUE:
        kind = named
    if kind is Kind.INVALID_REQUEST and message and _TOO_LONG.search(message):
        kind = Kind.CONTEXT_LENGTH_EXCEEDED
    return GatewayError(
        kind,
        message or f"The provider answered HTTP {status}.",
        param=param,
        code=code or None,
        retry_after_s=retry_after_s(headers),
        status=status,
    )


def in_band(raw: bytes) -> GatewayError:
    """The reason in an error object that came with HTTP 200."""
    message, type_, code, param = _words(b'{"error":' + raw + b"}")
    kind = _KINDS.get(code or "") or _KINDS.get(type_ or "") or Kind.UPSTREAM_UNAVAILABLE
    if len(code) == 3 and code.isdigit() and 400 <= int(code) < 600:  # OpenRouter puts an HTTP status there
        kind = kind_of_status(int(code))
    if kind is Kind.INVALID_REQUEST and message and _TOO_LONG.search(message):
        kind = Kind.CONTEXT_LENGTH_EXCEEDED
    return GatewayError(kind, message or "The provider sent an error.", code=code or None, param=param)


def _words(body: bytes) -> tuple[str, str, str, str | None]:
    """Message, type, code, param, as far as the body has them."""
    try:
        value = _ANY.decode(body)
    except MALFORMED:
        return _plain(body), "", "", None
    if isinstance(value, list) and value:
        value = value[0]  # Gemini's OpenAI format wraps its error in a list
    if not isinstance(value, dict):
        return value if isinstance(value, str) else "", "", "", None
    inner = value.get("error")
    found = inner if isinstance(inner, dict) else value
    message = inner if isinstance(inner, str) else _message(found)
    type_, code, param = found.get("type"), found.get("code") or found.get("error_code"), found.get("param")
    return (
        message,
        type_ if isinstance(type_, str) else "",
        str(code) if isinstance(code, str | int) and not isinstance(code, bool) else "",
        param if isinstance(param, str) else None,
    )


def _message(found: dict[str, Any]) -> str:
    """The first member that says what is wrong: OpenAI's, then those of servers built otherwise."""
    for name in ("message", "detail", "error_description", "title"):
        text = found.get(name)
        if isinstance(text, str) and text:
            return text
        if isinstance(text, list):  # FastAPI's validation errors
            lines = [one["msg"] for one in text if isinstance(one, dict) and isinstance(one.get("msg"), str)]
            if lines:
                return "; ".join(lines)
    return ""


def _plain(body: bytes) -> str:
    """A body that is a line of plain text; an HTML page or half of a JSON body says nothing to a caller."""
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= _PLAIN_CHARS_MAX and text.isprintable() and text[:1] not in ("<", "{", "[") else ""


def refuse_error(answer: Obj) -> None:
    """Raises what an error object inside a 200 says."""
    raw = answer.take("error")
    if raw is not None:
        raise in_band(raw)


def protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {what}.")

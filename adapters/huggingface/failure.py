"""Why a call failed: `{"error", "error_type"}` of both servers, the hosted API's cold start, lines of text from proxies."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.http_errors import kind_of_status, retry_after_s
from adapters.json_object import MALFORMED, Obj

# Both servers' error types, in lower case (router/src/infer and router/src/http/types of their sources).
_TYPES = {
    "validation": Kind.INVALID_REQUEST,
    "tokenizer": Kind.INVALID_REQUEST,
    "empty": Kind.INVALID_REQUEST,
    "template_error": Kind.INVALID_REQUEST,
    "tool_error": Kind.INVALID_REQUEST,
    "overloaded": Kind.RATE_LIMITED,
    "generation": Kind.UPSTREAM_UNAVAILABLE,
    "incomplete_generation": Kind.UPSTREAM_UNAVAILABLE,
    "incomplete_generation_stream": Kind.UPSTREAM_UNAVAILABLE,
    "backend": Kind.UPSTREAM_UNAVAILABLE,
    "unhealthy": Kind.UPSTREAM_UNAVAILABLE,
    "healthcheck": Kind.UPSTREAM_UNAVAILABLE,
}
# "Request failed during generation" comes as 424, which otherwise blames the request.
_STATUSES = {424: Kind.UPSTREAM_UNAVAILABLE}
_TOO_LONG = re.compile(r"must have less than \d+ tokens|`max_new_tokens` must be <=|maximum context length")
_ANY = msgspec.json.Decoder()
# Proxies answer a line of text at times; more than that is a page.
_PLAIN_CHARS_MAX = 500
# A model that loads longer than this is not worth waiting for.
_LOADING_S_MAX = 3600.0


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """The reason of a failed HTTP answer; never raises, whatever the body."""
    message, type_, loading_s = _read(body)
    kind = _STATUSES.get(status) or kind_of_status(status)
    if status in (400, 422, 424, 500):
        kind = _TYPES.get(type_.lower(), kind)
    if kind is Kind.INVALID_REQUEST and _TOO_LONG.search(message):
        kind = Kind.CONTEXT_LENGTH_EXCEEDED
    wait_s = retry_after_s(headers)
    return GatewayError(
        kind,
        message or f"The provider answered HTTP {status}.",
        code=type_ or None,
        retry_after_s=loading_s if wait_s is None else wait_s,
        status=status,
    )


def refuse_error(answer: Obj) -> None:
    """Raises what an error inside a 200 says."""
    raw = answer.take("error")
    if raw is None:
        return
    kept = {
        "error": msgspec.Raw(raw),
        **{name: answer.members[name] for name in ("error_type",) if name in answer.members},
    }
    message, type_, _ = _read(msgspec.json.encode(kept))
    kind = _TYPES.get(type_.lower(), Kind.UPSTREAM_UNAVAILABLE)
    if kind is Kind.INVALID_REQUEST and _TOO_LONG.search(message):
        kind = Kind.CONTEXT_LENGTH_EXCEEDED
    raise GatewayError(kind, message or "The provider sent an error.", code=type_ or None)


def protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {what}.")


def _read(body: bytes) -> tuple[str, str, float | None]:
    """Message, type and the seconds until the model is loaded, as far as the body has them."""
    try:
        value = _ANY.decode(body)
    except MALFORMED:
        return _plain(body), "", None
    if not isinstance(value, dict):
        return value if isinstance(value, str) else "", "", None
    inner: dict[str, Any] = value["error"] if isinstance(value.get("error"), dict) else value
    type_ = inner.get("error_type") or inner.get("type")
    message = _message(inner)
    return message, type_ if isinstance(type_, str) else "", _seconds(value.get("estimated_time"))


def _message(found: dict[str, Any]) -> str:
    for name in ("message", "error", "detail"):
        text = found.get(name)
        if isinstance(text, list):  # the hosted API gives a list of sentences for parameters it does not take
            text = "; ".join(one for one in text if isinstance(one, str))
        if isinstance(text, str) and text:
            return text
    return ""


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return min(float(value), _LOADING_S_MAX)


def _plain(body: bytes) -> str:
    """A line of plain text; an HTML page or half of a JSON body says nothing to a caller."""
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= _PLAIN_CHARS_MAX and text.isprintable() and text[:1] not in ("<", "{", "[") else ""

"""Classifies failures: `{"error", "error_type"}` of both servers, the hosted API's cold start, lines of text from
proxies."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.failures import gateway_error, read_failure
from adapters.http_errors import kind_of_status
from adapters.json_object import MALFORMED, Obj
from adapters.usage import members_of

# Error types of both servers, in lower case (from router/src/infer and router/src/http/types).
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
# "Request failed during generation" has status 424, which usually blames the request.
_STATUSES = {424: Kind.UPSTREAM_UNAVAILABLE}
# A model that takes longer to load is not worth waiting for.
_LOADING_S_MAX = 3600.0
_SECONDS = msgspec.json.Decoder(float | None)


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """Classifies a failed HTTP answer. Never raises, whatever the body."""
    failure = read_failure(body)
    if failure.retry_after_s is None:
        failure = replace(failure, retry_after_s=_loading_s(body))
    kind = _STATUSES.get(status) or kind_of_status(status)
    if status in (400, 422, 424, 500):
        kind = _TYPES.get(failure.type.lower(), kind)
    return gateway_error(kind, failure, word=failure.type, status=status, headers=headers)


def refuse_error(answer: Obj) -> None:
    """Raises the error inside a 200, if there is one."""
    kept = {name: answer.members[name] for name in ("error", "error_type") if name in answer.members}
    if answer.take("error") is None:
        return
    failure = read_failure(msgspec.json.encode(kept))
    raise gateway_error(_TYPES.get(failure.type.lower(), Kind.UPSTREAM_UNAVAILABLE), failure, word=failure.type)


def protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {what}.")


def _loading_s(body: bytes) -> float | None:
    """The hosted API's estimate of seconds until a model is loaded."""
    raw = members_of(body).get("estimated_time")
    try:
        value: float | None = _SECONDS.decode(b"null" if raw is None else raw)
    except MALFORMED:
        return None
    if value is None or not math.isfinite(value) or value < 0:
        return None
    return min(value, _LOADING_S_MAX)

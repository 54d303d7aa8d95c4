"""What each service answers to each kind of failure. The only place that knows codes."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from adapters import GatewayError, Kind

_Code = grpc.StatusCode


@dataclass(frozen=True, slots=True)
class Answer:
    """One row: gRPC code, HTTP status, OpenAI's `error.type`, its `error.code` where the provider gives none."""

    grpc: grpc.StatusCode
    http: int
    type: str
    code: str
    another_upstream_may_help: bool = False


ANSWERS: dict[Kind, Answer] = {
    Kind.INVALID_REQUEST: Answer(_Code.INVALID_ARGUMENT, 400, "invalid_request_error", "invalid_request"),
    Kind.CONTEXT_LENGTH_EXCEEDED: Answer(
        _Code.INVALID_ARGUMENT, 400, "invalid_request_error", "context_length_exceeded"
    ),
    Kind.UNSUPPORTED_PARAMETER: Answer(_Code.INVALID_ARGUMENT, 400, "invalid_request_error", "unsupported_parameter"),
    Kind.CONTENT_FILTERED: Answer(_Code.INVALID_ARGUMENT, 400, "invalid_request_error", "content_filter"),
    Kind.REQUEST_TOO_LARGE: Answer(_Code.INVALID_ARGUMENT, 413, "invalid_request_error", "request_too_large"),
    Kind.METHOD_NOT_ALLOWED: Answer(_Code.UNIMPLEMENTED, 405, "invalid_request_error", "method_not_allowed"),
    Kind.UNSUPPORTED_MEDIA_TYPE: Answer(_Code.INVALID_ARGUMENT, 415, "invalid_request_error", "unsupported_media_type"),
    Kind.UNAUTHENTICATED: Answer(_Code.UNAUTHENTICATED, 401, "authentication_error", "invalid_api_key"),
    Kind.PERMISSION_DENIED: Answer(_Code.PERMISSION_DENIED, 403, "permission_error", "permission_denied"),
    Kind.ROUTE_NOT_FOUND: Answer(_Code.NOT_FOUND, 404, "invalid_request_error", "model_not_found"),
    Kind.ALREADY_EXISTS: Answer(_Code.ALREADY_EXISTS, 409, "invalid_request_error", "already_exists"),
    Kind.FAILED_PRECONDITION: Answer(_Code.FAILED_PRECONDITION, 409, "invalid_request_error", "failed_precondition"),
    Kind.NOT_CONFIRMED: Answer(_Code.UNAVAILABLE, 503, "api_error", "not_confirmed"),
    Kind.RATE_LIMITED: Answer(_Code.RESOURCE_EXHAUSTED, 429, "rate_limit_error", "rate_limit_exceeded", True),
    Kind.QUOTA_EXHAUSTED: Answer(_Code.RESOURCE_EXHAUSTED, 429, "insufficient_quota", "insufficient_quota", True),
    Kind.BUDGET_EXCEEDED: Answer(_Code.RESOURCE_EXHAUSTED, 429, "insufficient_quota", "budget_exceeded"),
    Kind.OVERLOADED: Answer(_Code.UNAVAILABLE, 503, "api_error", "overloaded"),
    Kind.UPSTREAM_TIMEOUT: Answer(_Code.DEADLINE_EXCEEDED, 504, "api_error", "upstream_timeout", True),
    Kind.UPSTREAM_UNAVAILABLE: Answer(_Code.UNAVAILABLE, 503, "api_error", "upstream_unavailable", True),
    Kind.UPSTREAM_REJECTED_CREDENTIALS: Answer(
        _Code.FAILED_PRECONDITION, 424, "api_error", "upstream_rejected_credentials", True
    ),
    Kind.UPSTREAM_NOT_FOUND: Answer(_Code.FAILED_PRECONDITION, 424, "api_error", "upstream_not_found", True),
    Kind.UPSTREAM_PROTOCOL: Answer(_Code.INTERNAL, 502, "api_error", "upstream_protocol", True),
    Kind.UPSTREAM_INTERRUPTED: Answer(_Code.UNAVAILABLE, 502, "api_error", "upstream_interrupted"),
    Kind.INTERNAL: Answer(_Code.INTERNAL, 500, "api_error", "internal_error"),
    Kind.CANCELLED: Answer(_Code.CANCELLED, 499, "api_error", "cancelled"),
}


def answer_to(error: GatewayError) -> Answer:
    return ANSWERS[error.kind]


# MLflow's clients retry 429, 500, 502 and 503 for a minute and more, each time with another call of the provider; by then the
# gateway has made its own further attempts.
_ON_MLFLOW_PATHS = {Kind.UPSTREAM_UNAVAILABLE: 504, Kind.UPSTREAM_PROTOCOL: 424}
# A provider's own 429: waiting for it is the gateway's work. Ours stays 429, for it costs no call of a provider.
_PROVIDERS_LIMIT = frozenset({Kind.RATE_LIMITED, Kind.QUOTA_EXHAUSTED})
# Found by ourselves in the caller's request, not by the provider: there MLflow's servers answer what FastAPI does.
_REFUSED_BY_US = frozenset({Kind.INVALID_REQUEST, Kind.UNSUPPORTED_PARAMETER})


def mlflow_status(error: GatewayError, violation: int) -> int:
    """The HTTP status on MLflow's paths; `violation` is what this path says to a request that is no good in itself."""
    if error.status is None and error.kind in _REFUSED_BY_US:
        return violation
    if error.status is not None and error.kind in _PROVIDERS_LIMIT:
        return 424
    return _ON_MLFLOW_PATHS.get(error.kind) or answer_to(error).http


# Kinds after which the same call may succeed a little later. Not a timeout: the provider may have done, and billed, the work.
TRANSIENT = frozenset({Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.UPSTREAM_UNAVAILABLE})
_OVERLOADED_RETRY_AFTER_S = 1.0


def retry_after_s(error: GatewayError) -> float | None:
    """How long a client should wait, where that is known."""
    if error.retry_after_s is None and error.kind is Kind.OVERLOADED:
        return _OVERLOADED_RETRY_AFTER_S
    return error.retry_after_s


def client_may_retry(error: GatewayError) -> bool:
    """Not where the gateway has tried again already: its attempts times those of the client would be many."""
    return error.kind in TRANSIENT and not error.retried

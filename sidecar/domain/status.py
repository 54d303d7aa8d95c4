"""What each service answers to each kind of failure. The only place that knows codes."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from adapters import GatewayError, Kind

_Code = grpc.StatusCode


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One row: gRPC code, HTTP status, OpenAI's `error.type`, its `error.code` where the provider gives none."""

    grpc: grpc.StatusCode
    http: int
    type: str
    code: str
    another_upstream_may_help: bool = False


STATUS_ROWS: dict[Kind, StatusRow] = {
    Kind.INVALID_REQUEST: StatusRow(_Code.INVALID_ARGUMENT, 400, "invalid_request_error", "invalid_request"),
    Kind.CONTEXT_LENGTH_EXCEEDED: StatusRow(
        _Code.INVALID_ARGUMENT, 400, "invalid_request_error", "context_length_exceeded"
    ),
    Kind.UNSUPPORTED_PARAMETER: StatusRow(
        _Code.INVALID_ARGUMENT, 400, "invalid_request_error", "unsupported_parameter"
    ),
    Kind.CONTENT_FILTERED: StatusRow(_Code.INVALID_ARGUMENT, 400, "invalid_request_error", "content_filter"),
    Kind.REQUEST_TOO_LARGE: StatusRow(_Code.INVALID_ARGUMENT, 413, "invalid_request_error", "request_too_large"),
    Kind.METHOD_NOT_ALLOWED: StatusRow(_Code.UNIMPLEMENTED, 405, "invalid_request_error", "method_not_allowed"),
    Kind.UNSUPPORTED_MEDIA_TYPE: StatusRow(
        _Code.INVALID_ARGUMENT, 415, "invalid_request_error", "unsupported_media_type"
    ),
    Kind.UNAUTHENTICATED: StatusRow(_Code.UNAUTHENTICATED, 401, "authentication_error", "invalid_api_key"),
    Kind.PERMISSION_DENIED: StatusRow(_Code.PERMISSION_DENIED, 403, "permission_error", "permission_denied"),
    Kind.ROUTE_NOT_FOUND: StatusRow(_Code.NOT_FOUND, 404, "invalid_request_error", "model_not_found"),
    Kind.ALREADY_EXISTS: StatusRow(_Code.ALREADY_EXISTS, 409, "invalid_request_error", "already_exists"),
    Kind.FAILED_PRECONDITION: StatusRow(_Code.FAILED_PRECONDITION, 409, "invalid_request_error", "failed_precondition"),
    Kind.NOT_CONFIRMED: StatusRow(_Code.UNAVAILABLE, 503, "api_error", "not_confirmed"),
    Kind.RATE_LIMITED: StatusRow(_Code.RESOURCE_EXHAUSTED, 429, "rate_limit_error", "rate_limit_exceeded", True),
    Kind.QUOTA_EXHAUSTED: StatusRow(_Code.RESOURCE_EXHAUSTED, 429, "insufficient_quota", "insufficient_quota", True),
    Kind.BUDGET_EXCEEDED: StatusRow(_Code.RESOURCE_EXHAUSTED, 429, "insufficient_quota", "budget_exceeded"),
    Kind.OVERLOADED: StatusRow(_Code.UNAVAILABLE, 503, "api_error", "overloaded"),
    Kind.UPSTREAM_TIMEOUT: StatusRow(_Code.DEADLINE_EXCEEDED, 504, "api_error", "upstream_timeout", True),
    Kind.UPSTREAM_UNAVAILABLE: StatusRow(_Code.UNAVAILABLE, 503, "api_error", "upstream_unavailable", True),
    Kind.UPSTREAM_REJECTED_CREDENTIALS: StatusRow(
        _Code.FAILED_PRECONDITION, 424, "api_error", "upstream_rejected_credentials", True
    ),
    Kind.UPSTREAM_NOT_FOUND: StatusRow(_Code.FAILED_PRECONDITION, 424, "api_error", "upstream_not_found", True),
    Kind.UPSTREAM_PROTOCOL: StatusRow(_Code.INTERNAL, 502, "api_error", "upstream_protocol", True),
    Kind.UPSTREAM_INTERRUPTED: StatusRow(_Code.UNAVAILABLE, 502, "api_error", "upstream_interrupted"),
    Kind.INTERNAL: StatusRow(_Code.INTERNAL, 500, "api_error", "internal_error"),
    Kind.CANCELLED: StatusRow(_Code.CANCELLED, 499, "api_error", "cancelled"),
}


def status_row(error: GatewayError) -> StatusRow:
    return STATUS_ROWS[error.kind]


# MLflow's clients retry 429, 500, 502 and 503 for a minute and more, each time with another call of the provider; by then the
# gateway has made its own further attempts.
_ON_MLFLOW_PATHS = {Kind.UPSTREAM_UNAVAILABLE: 504, Kind.UPSTREAM_PROTOCOL: 424}
# A provider's own 429: waiting for it is the gateway's work. Ours stays 429, for it costs no call of a provider.
_PROVIDERS_LIMIT = frozenset({Kind.RATE_LIMITED, Kind.QUOTA_EXHAUSTED})
# Found by ourselves in the caller's request, not by the provider: there MLflow's servers answer as FastAPI does.
_REFUSED_BY_US = frozenset({Kind.INVALID_REQUEST, Kind.UNSUPPORTED_PARAMETER})


def mlflow_status(error: GatewayError, violation: int) -> int:
    """The HTTP status on MLflow's paths; `violation` is the status on this path of a request that is invalid in itself."""
    if error.status is None and error.kind in _REFUSED_BY_US:
        return violation
    if error.status is not None and error.kind in _PROVIDERS_LIMIT:
        return 424
    return _ON_MLFLOW_PATHS.get(error.kind) or status_row(error).http


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

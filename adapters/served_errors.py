"""Classifies failures of model servers without an error format of their own: MLflow's `{"error_code", "message",
"stack_trace"}`, FastAPI's `{"detail"}`, or a line of text. The stack trace is in the server's own log for its
operator; callers do not get it."""

from __future__ import annotations

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.failures import gateway_error, read_failure
from adapters.http_errors import kind_of_status

# MLflow's codes (mlflow.protos.databricks_pb2.ErrorCode) that are more specific than the status.
_KINDS = {
    "PERMISSION_DENIED": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "UNAUTHENTICATED": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "REQUEST_LIMIT_EXCEEDED": Kind.RATE_LIMITED,
    "RESOURCE_EXHAUSTED": Kind.RATE_LIMITED,
    "RESOURCE_DOES_NOT_EXIST": Kind.UPSTREAM_NOT_FOUND,
    "ENDPOINT_NOT_FOUND": Kind.UPSTREAM_NOT_FOUND,
    "TEMPORARILY_UNAVAILABLE": Kind.UPSTREAM_UNAVAILABLE,
}


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """Classifies a failed HTTP answer. Never raises, whatever the body."""
    failure = read_failure(body)
    kind = _KINDS.get(failure.code) or kind_of_status(status)
    return gateway_error(kind, failure, word=failure.code, status=status, headers=headers)

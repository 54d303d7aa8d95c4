"""Why a model server without error bodies of its own failed: MLflow's `{"error_code", "message", "stack_trace"}`, FastAPI's
`{"detail"}`, or a line of text. The stack trace is the operator's, in the server's own log: it is not shown to callers.
"""

from __future__ import annotations

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.failures import gateway_error, read_failure
from adapters.http_errors import kind_of_status

# MLflow's own words (mlflow.protos.databricks_pb2.ErrorCode) where they say more than the status does.
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
    """The reason of a failed HTTP answer; never raises, whatever the body."""
    failure = read_failure(body)
    kind = _KINDS.get(failure.code) or kind_of_status(status)
    return gateway_error(kind, failure, word=failure.code, status=status, headers=headers)

"""How each kind of failure is reported by each service: the rows of llm_gateway_client.kinds, extended for the
gateway."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from llm_gateway_client.kinds import KINDS

from adapters import GatewayError, Kind


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One row: gRPC code, HTTP status, OpenAI's `error.type`, and its `error.code` if the provider gives none."""

    grpc: grpc.StatusCode
    http: int
    type: str
    code: str
    another_upstream_may_help: bool = False


# Kinds after which another upstream of the route may succeed.
_ANOTHER_UPSTREAM_MAY_HELP = frozenset(
    {
        Kind.RATE_LIMITED,
        Kind.QUOTA_EXHAUSTED,
        Kind.UPSTREAM_TIMEOUT,
        Kind.UPSTREAM_UNAVAILABLE,
        Kind.UPSTREAM_REJECTED_CREDENTIALS,
        Kind.UPSTREAM_NOT_FOUND,
        Kind.UPSTREAM_PROTOCOL,
    }
)
# The codes are strings in the client's package, which both ends use: it does not depend on grpc.
STATUS_ROWS: dict[Kind, StatusRow] = {
    kind: StatusRow(grpc.StatusCode[row.grpc], row.http, row.type, row.code, kind in _ANOTHER_UPSTREAM_MAY_HELP)
    for kind in Kind
    for row in (KINDS[kind],)
}


def status_row(error: GatewayError) -> StatusRow:
    return STATUS_ROWS[error.kind]


# MLflow's clients retry 429, 500, 502 and 503 for over a minute, each time with another call to the provider,
# although the gateway has already made its own retries.
_ON_MLFLOW_PATHS = {Kind.UPSTREAM_UNAVAILABLE: 504, Kind.UPSTREAM_PROTOCOL: 424}
# A provider's 429: waiting for it is the gateway's task. Our own stays 429, since it costs no call to a provider.
_PROVIDERS_LIMIT = frozenset({Kind.RATE_LIMITED, Kind.QUOTA_EXHAUSTED})
# Found in the caller's request by the gateway rather than the provider; MLflow's servers answer like FastAPI here.
_REFUSED_BY_US = frozenset({Kind.INVALID_REQUEST, Kind.UNSUPPORTED_PARAMETER})


def mlflow_status(error: GatewayError, violation: int) -> int:
    """The HTTP status on MLflow's paths. `violation` is this path's status for a request that is invalid in itself."""
    if error.status is None and error.kind in _REFUSED_BY_US:
        return violation
    if error.status is not None and error.kind in _PROVIDERS_LIMIT:
        return 424
    return _ON_MLFLOW_PATHS.get(error.kind) or status_row(error).http


# Kinds after which the same call may succeed a little later. Not a timeout: the provider may have done and billed
# the work.
TRANSIENT = frozenset({Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.STORE_UNAVAILABLE, Kind.UPSTREAM_UNAVAILABLE})
_OVERLOADED_RETRY_AFTER_S = 1.0


def retry_after_s(error: GatewayError) -> float | None:
    """Seconds that a client should wait, if known."""
    if error.retry_after_s is None and error.kind is Kind.OVERLOADED:
        return _OVERLOADED_RETRY_AFTER_S
    return error.retry_after_s


def client_may_retry(error: GatewayError) -> bool:
    """Whether the client should retry. Not if the gateway has retried: its attempts and the client's would
    multiply."""
    return error.kind in TRANSIENT and not error.retried

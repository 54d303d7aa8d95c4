"""The kinds of failure and how each service reports them: the single table for client, gateway and
docs/reference/errors.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One kind: the name of its gRPC code, its HTTP status, OpenAI's `error.type`, and OpenAI's `error.code` if the
    provider gives none. The kind's name in upper case is the `reason` of google.rpc.ErrorInfo."""

    grpc: str
    http: int
    type: str
    code: str


KINDS: Final[Mapping[str, StatusRow]] = {
    "invalid_request": StatusRow("INVALID_ARGUMENT", 400, "invalid_request_error", "invalid_request"),
    "context_length_exceeded": StatusRow("INVALID_ARGUMENT", 400, "invalid_request_error", "context_length_exceeded"),
    "unsupported_parameter": StatusRow("INVALID_ARGUMENT", 400, "invalid_request_error", "unsupported_parameter"),
    "content_filtered": StatusRow("INVALID_ARGUMENT", 400, "invalid_request_error", "content_filter"),
    "request_too_large": StatusRow("INVALID_ARGUMENT", 413, "invalid_request_error", "request_too_large"),
    "method_not_allowed": StatusRow("UNIMPLEMENTED", 405, "invalid_request_error", "method_not_allowed"),
    "unsupported_media_type": StatusRow("INVALID_ARGUMENT", 415, "invalid_request_error", "unsupported_media_type"),
    "unauthenticated": StatusRow("UNAUTHENTICATED", 401, "authentication_error", "invalid_api_key"),
    "permission_denied": StatusRow("PERMISSION_DENIED", 403, "permission_error", "permission_denied"),
    "route_not_found": StatusRow("NOT_FOUND", 404, "invalid_request_error", "model_not_found"),
    "already_exists": StatusRow("ALREADY_EXISTS", 409, "invalid_request_error", "already_exists"),
    "conflict": StatusRow("ABORTED", 409, "invalid_request_error", "conflict"),
    "failed_precondition": StatusRow("FAILED_PRECONDITION", 409, "invalid_request_error", "failed_precondition"),
    "not_confirmed": StatusRow("UNAVAILABLE", 503, "api_error", "not_confirmed"),
    "rate_limited": StatusRow("RESOURCE_EXHAUSTED", 429, "rate_limit_error", "rate_limit_exceeded"),
    "quota_exhausted": StatusRow("RESOURCE_EXHAUSTED", 429, "insufficient_quota", "insufficient_quota"),
    "budget_exceeded": StatusRow("RESOURCE_EXHAUSTED", 429, "insufficient_quota", "budget_exceeded"),
    "overloaded": StatusRow("UNAVAILABLE", 503, "api_error", "overloaded"),
    "store_unavailable": StatusRow("UNAVAILABLE", 503, "api_error", "store_unavailable"),
    "upstream_timeout": StatusRow("DEADLINE_EXCEEDED", 504, "api_error", "upstream_timeout"),
    "upstream_unavailable": StatusRow("UNAVAILABLE", 503, "api_error", "upstream_unavailable"),
    "upstream_rejected_credentials": StatusRow(
        "FAILED_PRECONDITION", 424, "api_error", "upstream_rejected_credentials"
    ),
    "upstream_not_found": StatusRow("FAILED_PRECONDITION", 424, "api_error", "upstream_not_found"),
    "upstream_protocol": StatusRow("INTERNAL", 502, "api_error", "upstream_protocol"),
    "upstream_interrupted": StatusRow("UNAVAILABLE", 502, "api_error", "upstream_interrupted"),
    "internal": StatusRow("INTERNAL", 500, "api_error", "internal_error"),
    "drained": StatusRow("UNAVAILABLE", 503, "api_error", "drained"),
    "cancelled": StatusRow("CANCELLED", 499, "api_error", "cancelled"),
}

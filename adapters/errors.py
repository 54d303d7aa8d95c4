"""Why a call failed. Only sidecar/domain/status.py maps this to the answers of each service."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final


class Kind(StrEnum):
    """The closed list of reasons; also `google.rpc.ErrorInfo.reason` (upper case) and a metric label."""

    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    CONTENT_FILTERED = "content_filtered"
    REQUEST_TOO_LARGE = "request_too_large"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    ROUTE_NOT_FOUND = "route_not_found"
    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    FAILED_PRECONDITION = "failed_precondition"
    NOT_CONFIRMED = "not_confirmed"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    BUDGET_EXCEEDED = "budget_exceeded"
    OVERLOADED = "overloaded"
    STORE_UNAVAILABLE = "store_unavailable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_REJECTED_CREDENTIALS = "upstream_rejected_credentials"
    UPSTREAM_NOT_FOUND = "upstream_not_found"
    UPSTREAM_PROTOCOL = "upstream_protocol"
    UPSTREAM_INTERRUPTED = "upstream_interrupted"
    INTERNAL = "internal"
    DRAINED = "drained"
    CANCELLED = "cancelled"


class GatewayError(Exception):
    """A failed call: the reason, a message for the caller, and details. Immutable: `replace_error` makes a changed
    copy.

    `message`: safe to show. Adapters only use provider text through their `error()`; the gateway redacts secrets
    before answering.
    `param`: the caller's field at fault, in terms of the caller's format.
    `code`: the provider's machine-readable code, if any.
    `retry_after_s`: the wait that the provider asked for.
    `status`: the provider's HTTP status; None if the failure is our own.
    `retried`: the gateway has made retries, so the caller should not.
    `headers`: of limits and budgets (x-ratelimit-*, x-sidecar-budget).
    `left_out`: members of the request that the upstream does not support.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        status: int | None = None,
        retried: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
        left_out: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.kind: Final = kind
        self.message: Final = message
        self.param: Final = param
        self.code: Final = code
        self.retry_after_s: Final = retry_after_s
        self.status: Final = status
        self.retried: Final = retried
        self.headers: Final = headers
        self.left_out: Final = left_out

    def __repr__(self) -> str:
        return f"GatewayError({self.kind}, {self.message!r}, param={self.param!r}, status={self.status})"


def replace_error(error: GatewayError, **changes: Any) -> GatewayError:
    """Returns a copy with these fields changed, like `dataclasses.replace`, keeping cause and traceback."""
    found = GatewayError(**{**vars(error), **changes})
    found.__cause__ = error.__cause__
    return found.with_traceback(error.__traceback__)

"""Why a call failed, as exceptions: one class a family of kinds. The same for gRPC and REST.

A REST answer names no kind; it is worked out of status and code, so within a family (the class) it may be the more general one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class SidecarError(Exception):
    """A call failed. `kind` is of docs/errors.md, or the client's own: unreachable, deadline_exceeded, malformed_answer.

    `http_status` and `grpc_code` (a name) are what the one and the other service answer to that kind; None where no answer
    came. `retry_after_s`: how long to wait, where that is known. `param`: the member at fault. `may_retry`: whether the same
    call may succeed a little later. `code` is a provider's own word, where REST passes one on.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "internal",
        http_status: int | None = None,
        grpc_code: str | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        param: str | None = None,
        code: str | None = None,
        may_retry: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.http_status = http_status
        self.grpc_code = grpc_code
        self.retry_after_s = retry_after_s
        self.request_id = request_id
        self.param = param
        self.code = code
        self.may_retry = may_retry

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.message, {**self.__dict__})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind}, {self.message!r}, request_id={self.request_id!r})"


def _restored(class_: type[SidecarError], message: str, state: dict[str, Any]) -> SidecarError:
    error = class_(message)
    error.__dict__.update(state)
    return error


class InvalidRequest(SidecarError):
    """The request is at fault: malformed, too long, too large, a parameter the provider lacks, filtered."""


class Unauthenticated(SidecarError):
    """Missing or wrong credentials at the gateway."""


class PermissionDenied(SidecarError):
    """The gateway knows the caller, who may not do this."""


class NotFound(SidecarError):
    """No such route, for this caller."""


class Conflict(SidecarError):
    """The name is taken, or the gateway's state does not allow it."""


class RateLimited(SidecarError):
    """Too many calls, of the gateway's limits or the provider's."""


class QuotaExhausted(RateLimited):
    """A budget is used up. Waiting a little does not help."""


class Unavailable(SidecarError):
    """The gateway or the provider cannot answer now."""


class Unreachable(Unavailable):
    """No connection to the gateway; nothing was sent, or nothing came back."""


class TimedOut(SidecarError):
    """The provider (kind upstream_timeout) or the call's own time (kind deadline_exceeded) ran out."""


class UpstreamRefused(SidecarError):
    """The provider refuses the gateway's own key or model name: somebody has to mend the config."""


class BadAnswer(SidecarError):
    """What came is no answer of the provider's format, or none of the gateway's."""


class Interrupted(SidecarError):
    """The answer broke off after it had begun. What came is incomplete."""


class InternalError(SidecarError):
    """The gateway failed."""


class Cancelled(SidecarError):
    """The call was cancelled."""


class TargetError(ValueError):
    """A target or its credentials are wrong. Never repeats a password."""


@dataclass(frozen=True, slots=True)
class Row:
    """One kind: its family, the codes of both services, OpenAI's `error.code`."""

    family: type[SidecarError]
    http: int
    grpc: str
    code: str


KINDS: dict[str, Row] = {
    "invalid_request": Row(InvalidRequest, 400, "INVALID_ARGUMENT", "invalid_request"),
    "context_length_exceeded": Row(InvalidRequest, 400, "INVALID_ARGUMENT", "context_length_exceeded"),
    "unsupported_parameter": Row(InvalidRequest, 400, "INVALID_ARGUMENT", "unsupported_parameter"),
    "content_filtered": Row(InvalidRequest, 400, "INVALID_ARGUMENT", "content_filter"),
    "request_too_large": Row(InvalidRequest, 413, "INVALID_ARGUMENT", "request_too_large"),
    "method_not_allowed": Row(InvalidRequest, 405, "UNIMPLEMENTED", "method_not_allowed"),
    "unsupported_media_type": Row(InvalidRequest, 415, "INVALID_ARGUMENT", "unsupported_media_type"),
    "unauthenticated": Row(Unauthenticated, 401, "UNAUTHENTICATED", "invalid_api_key"),
    "permission_denied": Row(PermissionDenied, 403, "PERMISSION_DENIED", "permission_denied"),
    "route_not_found": Row(NotFound, 404, "NOT_FOUND", "model_not_found"),
    "already_exists": Row(Conflict, 409, "ALREADY_EXISTS", "already_exists"),
    "failed_precondition": Row(Conflict, 409, "FAILED_PRECONDITION", "failed_precondition"),
    "not_confirmed": Row(Unavailable, 503, "UNAVAILABLE", "not_confirmed"),
    "rate_limited": Row(RateLimited, 429, "RESOURCE_EXHAUSTED", "rate_limit_exceeded"),
    "quota_exhausted": Row(QuotaExhausted, 429, "RESOURCE_EXHAUSTED", "insufficient_quota"),
    "budget_exceeded": Row(QuotaExhausted, 429, "RESOURCE_EXHAUSTED", "budget_exceeded"),
    "overloaded": Row(Unavailable, 503, "UNAVAILABLE", "overloaded"),
    "upstream_timeout": Row(TimedOut, 504, "DEADLINE_EXCEEDED", "upstream_timeout"),
    "upstream_unavailable": Row(Unavailable, 503, "UNAVAILABLE", "upstream_unavailable"),
    "upstream_rejected_credentials": Row(UpstreamRefused, 424, "FAILED_PRECONDITION", "upstream_rejected_credentials"),
    "upstream_not_found": Row(UpstreamRefused, 424, "FAILED_PRECONDITION", "upstream_not_found"),
    "upstream_protocol": Row(BadAnswer, 502, "INTERNAL", "upstream_protocol"),
    "upstream_interrupted": Row(Interrupted, 502, "UNAVAILABLE", "upstream_interrupted"),
    "internal": Row(InternalError, 500, "INTERNAL", "internal_error"),
    "cancelled": Row(Cancelled, 499, "CANCELLED", "cancelled"),
}

# What a status alone means, where no code of ours says more.
_OF_STATUS = {
    401: "unauthenticated",
    403: "permission_denied",
    404: "route_not_found",
    405: "method_not_allowed",
    409: "failed_precondition",
    413: "request_too_large",
    415: "unsupported_media_type",
    424: "upstream_rejected_credentials",
    429: "rate_limited",
    502: "upstream_protocol",
    503: "upstream_unavailable",
    504: "upstream_timeout",
}
_OF_CODE = {(row.http, row.code): kind for kind, row in KINDS.items()}
_OF_TYPE = {"insufficient_quota": "quota_exhausted"}


def of_kind(kind: str, message: str, **fields: Any) -> SidecarError:
    """The family's exception. A kind that a newer gateway made up is an InternalError of that name."""
    row = KINDS.get(kind)
    if row is None:
        return InternalError(message, kind=kind, **fields)
    return row.family(message, kind=kind, http_status=row.http, grpc_code=row.grpc, **fields)


def kind_of_http(status: int, code: str | None, type_: str | None) -> str:
    """By our code if it belongs to that status (providers have a code "invalid_api_key" too), else by type or status."""
    if code is not None and (kind := _OF_CODE.get((status, code))) is not None:
        return kind
    if type_ in _OF_TYPE and status == KINDS[_OF_TYPE[type_]].http:
        return _OF_TYPE[type_]
    return _OF_STATUS.get(status, "invalid_request" if 400 <= status < 500 else "internal")

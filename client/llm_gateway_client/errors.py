"""Failures as exceptions, one class per family of kinds. The same for gRPC and REST.

REST answers do not name a kind. It is derived from status and code, and may be a more general one of the same family
(class).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llm_gateway_client.kinds import KINDS


class SidecarError(Exception):
    """A call failed.

    `http_status` and `grpc_code` (a name) are what the one and the other service answer to that kind; None where no answer
    came. `retry_after_s`: how long to wait, where that is known. `param`: the member at fault. `may_retry`: whether the same
    call may succeed a little later. `code` is a provider's own code, where REST passes one on.
    `etag` is the version that a route or its limits have now, where another change was faster.
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
        etag: str = "",
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
        self.etag = etag

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.message, {**self.__dict__})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind}, {self.message!r}, request_id={self.request_id!r})"


def _restored(class_: type[SidecarError], message: str, state: dict[str, Any]) -> SidecarError:
    error = class_(message)
    error.__dict__.update(state)
    return error


class InvalidRequest(SidecarError):
    """The request is invalid: malformed, too long, too large, filtered, or with a parameter that the provider does
    not support."""


class Unauthenticated(SidecarError):
    """Missing or wrong credentials at the gateway."""


class PermissionDenied(SidecarError):
    """The gateway knows the caller, but does not allow this."""


class NotFound(SidecarError):
    """There is no such route for this caller."""


class Conflict(SidecarError):
    """The name is taken, somebody else has changed the route meanwhile, or the gateway's state does not allow it."""


class RateLimited(SidecarError):
    """A rate limit of the gateway or the provider is exceeded."""


class QuotaExhausted(RateLimited):
    """A budget or quota is used up. A short wait does not help."""


class Unavailable(SidecarError):
    """The gateway or the provider cannot answer now."""


class Unreachable(Unavailable):
    """Cannot connect to the gateway; nothing was sent, or nothing was received."""


class TimedOut(SidecarError):
    """The provider's time (kind upstream_timeout) or the call's own time (kind deadline_exceeded) is up."""


class UpstreamRefused(SidecarError):
    """The provider refuses the gateway's key or model name: the gateway's config has to be fixed."""


class BadAnswer(SidecarError):
    """The answer is not of the provider's format, or not of the gateway's."""


class Interrupted(SidecarError):
    """The answer broke off after it had started, so what was received is incomplete."""


class InternalError(SidecarError):
    """The gateway failed."""


class Cancelled(SidecarError):
    """The call was cancelled."""


class TargetError(ValueError):
    """A target or its credentials are invalid. Never quotes a password."""


# The exception of each kind. An unknown kind, of a newer gateway, is an InternalError with that kind.
FAMILIES: Final[Mapping[str, type[SidecarError]]] = {
    "invalid_request": InvalidRequest,
    "context_length_exceeded": InvalidRequest,
    "unsupported_parameter": InvalidRequest,
    "content_filtered": InvalidRequest,
    "request_too_large": InvalidRequest,
    "method_not_allowed": InvalidRequest,
    "unsupported_media_type": InvalidRequest,
    "unauthenticated": Unauthenticated,
    "permission_denied": PermissionDenied,
    "route_not_found": NotFound,
    "already_exists": Conflict,
    "conflict": Conflict,
    "failed_precondition": Conflict,
    "not_confirmed": Unavailable,
    "rate_limited": RateLimited,
    "quota_exhausted": QuotaExhausted,
    "budget_exceeded": QuotaExhausted,
    "overloaded": Unavailable,
    "store_unavailable": Unavailable,
    "upstream_timeout": TimedOut,
    "upstream_unavailable": Unavailable,
    "upstream_rejected_credentials": UpstreamRefused,
    "upstream_not_found": UpstreamRefused,
    "upstream_protocol": BadAnswer,
    "upstream_interrupted": Interrupted,
    "internal": InternalError,
    "drained": Unavailable,
    "cancelled": Cancelled,
}

# The meaning of a status if the body has none of our codes.
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
    """The exception of a kind, with the codes of both services."""
    row = KINDS.get(kind)
    if row is None:
        return InternalError(message, kind=kind, **fields)
    return FAMILIES[kind](message, kind=kind, http_status=row.http, grpc_code=row.grpc, **fields)


def kind_of_http(status: int, code: str | None, type_: str | None) -> str:
    """Uses our code if it belongs to that status (providers also have a code "invalid_api_key"), otherwise type or
    status."""
    if code is not None and (kind := _OF_CODE.get((status, code))) is not None:
        return kind
    if type_ in _OF_TYPE and status == KINDS[_OF_TYPE[type_]].http:
        return _OF_TYPE[type_]
    return _OF_STATUS.get(status, "invalid_request" if 400 <= status < 500 else "internal")

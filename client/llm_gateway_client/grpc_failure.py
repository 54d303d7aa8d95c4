"""gRPC: converts a status with google.rpc details to an exception."""

from __future__ import annotations

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from llm_gateway_client.errors import BadAnswer, Interrupted, SidecarError, TimedOut, Unreachable, of_kind

_DOMAIN = "sidecar"
# gRPC's messages before anything was sent; such a call may be retried.
_NOT_CONNECTED = ("failed to connect", "connections to all backends failing", "dns resolution failed")
# A status without our details comes from gRPC itself or from the front.
_KIND_OF_CODE = {
    "INVALID_ARGUMENT": "invalid_request",
    "UNAUTHENTICATED": "unauthenticated",
    "PERMISSION_DENIED": "permission_denied",
    "NOT_FOUND": "route_not_found",
    "ALREADY_EXISTS": "already_exists",
    "ABORTED": "conflict",
    "FAILED_PRECONDITION": "failed_precondition",
    "UNIMPLEMENTED": "method_not_allowed",
    "CANCELLED": "cancelled",
    "INTERNAL": "internal",
}


def failure(error: grpc.RpcError, request_id: str, begun: bool) -> SidecarError:
    """`begun`: part of the answer has been received."""
    code: str = error.code().name
    message: str = error.details() or f"The gateway answered {code}."
    trailers: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
    kind, wait_s, param = _details(trailers.get("grpc-status-details-bin", b""))
    if kind is not None:
        pushback = trailers.get("grpc-retry-pushback-ms")
        may_retry = code in ("UNAVAILABLE", "RESOURCE_EXHAUSTED") and pushback != "-1" and not begun
        etag = str(trailers.get("etag", "")).strip('"')
        return of_kind(
            kind, message, retry_after_s=wait_s, request_id=request_id, param=param, may_retry=may_retry, etag=etag
        )
    return _own_failure(code, message, request_id, begun)


def _own_failure(code: str, message: str, request_id: str, begun: bool) -> SidecarError:
    if code == "DEADLINE_EXCEEDED":
        return TimedOut(message, kind="deadline_exceeded", grpc_code=code, request_id=request_id)
    if code == "UNAVAILABLE":
        if begun:
            return Interrupted(message, kind="upstream_interrupted", grpc_code=code, request_id=request_id)
        nothing_sent = any(words in message.lower() for words in _NOT_CONNECTED)
        return Unreachable(message, kind="unreachable", grpc_code=code, request_id=request_id, may_retry=nothing_sent)
    if code == "RESOURCE_EXHAUSTED":  # the channel's own message limit
        return BadAnswer(message, kind="malformed_answer", grpc_code=code, request_id=request_id)
    return of_kind(_KIND_OF_CODE.get(code, "internal"), message, request_id=request_id)


def _details(data: bytes | str) -> tuple[str | None, float | None, str | None]:
    """Returns kind, seconds to wait, member at fault."""
    kind: str | None = None
    wait_s: float | None = None
    param: str | None = None
    status = status_pb2.Status()
    try:
        status.ParseFromString(data if isinstance(data, bytes) else b"")
    except ValueError:
        return None, None, None
    info, retry, request = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == _DOMAIN:
            kind = info.reason.lower()
        elif detail.Unpack(retry):
            wait_s = retry.retry_delay.ToMilliseconds() / 1000
        elif detail.Unpack(request) and request.field_violations:
            param = request.field_violations[0].field
    return kind, wait_s, param

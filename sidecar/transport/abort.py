"""Errors as gRPC statuses with google.rpc details, for the typed services. RestService carries HTTP instead."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Never, TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from adapters import GatewayError, Kind
from sidecar.domain.status import client_may_retry, retry_after_s, status_row
from sidecar.transport import Aborted
from sidecar.transport.caller import Context
from sidecar.upstream import internal_failure

log = logging.getLogger(__name__)

_Response = TypeVar("_Response")
_DOMAIN = "sidecar"
# grpc-message and the details are sent as headers; 1 and 4 KiB fit under every proxy's header limit.
_MESSAGE_BYTES_MAX = 1024
_METADATA_VALUE_BYTES_MAX = 512


_Method = Callable[[Any, Any, Any], Awaitable[_Response]]


def answers_errors(method: _Method[_Response]) -> _Method[_Response]:
    """Decorates a servicer's method: an exception becomes the status of the call. The text of an unexpected
    exception never leaves the process."""

    @wraps(method)
    async def serve(servicer: Any, request: Any, context: Context) -> _Response:
        try:
            return await method(servicer, request, context)
        except GatewayError as error:
            return await abort(context, error)
        except (asyncio.CancelledError, Aborted):
            raise
        except Exception as error:
            if (short := internal_failure(error)) is not None:
                log.error("out of file descriptors or memory: %s", type(error).__name__)
                return await abort(context, short)
            log.exception("unexpected exception; this is a bug in the gateway")
            return await abort(context, GatewayError(Kind.INTERNAL, "The gateway failed."))

    return serve


async def abort(context: Context, error: GatewayError) -> Never:
    """Ends the call with the error's status, details and headers."""
    row = status_row(error)
    message = _cut(error.message, _MESSAGE_BYTES_MAX)
    metadata: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", _details(error, row.grpc, message))]
    metadata.extend(error.headers)
    wait_s = retry_after_s(error)
    if not client_may_retry(error):
        metadata.append(("grpc-retry-pushback-ms", "-1"))  # a client's retry policy must not repeat a permanent failure
    elif wait_s is not None:
        metadata.append(("grpc-retry-pushback-ms", str(math.ceil(wait_s * 1000))))
    await context.abort(row.grpc, message, tuple(metadata))


def _details(error: GatewayError, code: grpc.StatusCode, message: str) -> bytes:
    info = error_details_pb2.ErrorInfo(reason=error.kind.value.upper(), domain=_DOMAIN)
    if error.status is not None:
        info.metadata["upstream_status"] = str(error.status)
    if error.code:
        info.metadata["upstream_code"] = _cut(error.code, _METADATA_VALUE_BYTES_MAX)
    details: list[any_pb2.Any] = [_any(info)]
    wait_s = retry_after_s(error)
    if wait_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(wait_s * 1000))
        details.append(_any(error_details_pb2.RetryInfo(retry_delay=delay)))
    if error.param:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(error.param, _METADATA_VALUE_BYTES_MAX), description=message
        )
        details.append(_any(error_details_pb2.BadRequest(field_violations=[violation])))
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message, details=details)
    data: bytes = status.SerializeToString()
    return data


def _any(
    message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest,
) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _cut(text: str, bytes_max: int) -> str:
    """Cuts text to at most `bytes_max` bytes of UTF-8, between characters."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= bytes_max else data[:bytes_max].decode("utf-8", "ignore")

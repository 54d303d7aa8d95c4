"""Failures as gRPC statuses with google.rpc details. For the typed services; RestService carries HTTP instead."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from adapters import GatewayError, Kind
from sidecar.domain.status import answer_to, client_may_retry, retry_after_s
from sidecar.transport import Aborted
from sidecar.transport.caller import Context

log = logging.getLogger(__name__)

_DOMAIN = "sidecar"
# grpc-message and details travel as headers; 1 and 4 KiB leave room under every proxy's header limit (DESIGN 4).
_MESSAGE_BYTES_MAX = 1024
_METADATA_VALUE_BYTES_MAX = 512


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """Turns what a servicer's body raises into the call's status. Exception text of a bug never leaves the process."""
    try:
        yield
    except GatewayError as error:
        await abort(context, error)
    except (asyncio.CancelledError, Aborted):
        raise
    except Exception:
        log.exception("a bug in the gateway")
        await abort(context, GatewayError(Kind.INTERNAL, "The gateway failed."))


async def abort(context: Context, error: GatewayError) -> None:
    answer = answer_to(error)
    message = _cut(error.message, _MESSAGE_BYTES_MAX)
    metadata: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", _details(error, answer.grpc, message))]
    metadata.extend(context.trailing_metadata() or ())  # abort would replace what a servicer has set
    wait_s = retry_after_s(error)
    if not client_may_retry(error):
        metadata.append(("grpc-retry-pushback-ms", "-1"))  # a client's retry policy must not repeat a permanent failure
    elif wait_s is not None:
        metadata.append(("grpc-retry-pushback-ms", str(math.ceil(wait_s * 1000))))
    await context.abort(answer.grpc, message, tuple(metadata))


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
    """At most `bytes_max` bytes of UTF-8, cut between characters."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= bytes_max else data[:bytes_max].decode("utf-8", "ignore")

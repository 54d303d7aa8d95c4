"""Error bodies in the callers' formats: OpenAI's {"error": ...}, Anthropic's {"type": "error", ...}, MLflow's
{"detail": ...}."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from adapters import FORMATS, GatewayError, Kind, replace_error
from adapters.anthropic import encode_error, encode_error_event, status_of
from adapters.mlflow_client import detail_of
from sidecar.domain.status import mlflow_status, status_row
from sidecar.worker.rest.json import written

_OPENAI = FORMATS["openai"]


@dataclass(frozen=True, slots=True)
class Shape:
    """How a path reports a failed call: HTTP status, body, and the event if the answer has started already.

    Body and event may contain the request id, which is also in the header `id_header` if the format has its own.
    """

    status: Callable[[GatewayError], int]
    body: Callable[[GatewayError, str], bytes]
    event: Callable[[GatewayError, str], bytes]
    id_header: str | None = None


def _members(error: GatewayError) -> tuple[str, str, str | None, str | None]:
    row = status_row(error)
    return row.type, error.message, error.param, error.code or row.code


def with_code(error: GatewayError) -> GatewayError:
    """Adds a code that programs can compare: the provider's, or ours for the kind of error."""
    return error if error.code else replace_error(error, code=status_row(error).code)


def encode_openai(error: GatewayError) -> bytes:
    """Encodes an error as OpenAI's API does."""
    assert _OPENAI.encode_error is not None
    return _OPENAI.encode_error(*_members(error))


def _openai_body(error: GatewayError, request_id: str) -> bytes:
    return encode_openai(error)


def _openai_event(error: GatewayError, request_id: str) -> bytes:
    """Also used in MLflow's streams, which are OpenAI's."""
    assert _OPENAI.encode_stream_error is not None
    return _OPENAI.encode_stream_error(*_members(error))


def _detail(error: GatewayError, request_id: str) -> bytes:
    return msgspec.json.encode({"detail": detail_of(error)})  # may quote members of the request as they were sent


def _text(error: GatewayError, request_id: str) -> bytes:
    return written({"detail": error.message})


def _c_detail(error: GatewayError, request_id: str) -> bytes:
    if error.kind is Kind.ROUTE_NOT_FOUND:
        return written({"detail": {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": error.message}})
    return _text(error, request_id)


OPENAI = Shape(lambda error: status_row(error).http, _openai_body, _openai_event)
ANTHROPIC = Shape(
    lambda error: status_of(error) or status_row(error).http,
    lambda error, request_id: encode_error(with_code(error), request_id),
    lambda error, request_id: encode_error_event(with_code(error), request_id),
    id_header="request-id",
)
# Dialects A and B: FastAPI's list of problems with status 422.
MLFLOW = Shape(lambda error: mlflow_status(error, 422), _detail, _openai_event)
# Dialect C, and requests without a body that could be invalid.
MLFLOW_TEXT = Shape(lambda error: mlflow_status(error, 400), _text, _openai_event)
MLFLOW_C = Shape(lambda error: mlflow_status(error, 400), _c_detail, _openai_event)

__all__ = [
    "ANTHROPIC",
    "MLFLOW",
    "MLFLOW_C",
    "MLFLOW_TEXT",
    "OPENAI",
    "Shape",
    "encode_openai",
    "with_code",
]

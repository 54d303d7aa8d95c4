"""Why a model server without error bodies of its own failed: MLflow's `{"error_code", "message", "stack_trace"}`, FastAPI's
`{"detail"}`, or a line of text. The stack trace is the operator's, in the server's own log: it is not shown to callers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.http_errors import kind_of_status, retry_after_s
from adapters.json_object import MALFORMED

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
_ANY = msgspec.json.Decoder()
# A proxy's or the server's own line; more than that is a page.
_PLAIN_CHARS_MAX = 500


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """The reason of a failed HTTP answer; never raises, whatever the body."""
    message, code = _words(body)
    return GatewayError(
        _KINDS.get(code) or kind_of_status(status),
        message or f"The model server answered HTTP {status}.",
        code=code or None,
        retry_after_s=retry_after_s(headers),
        status=status,
    )


def _words(body: bytes) -> tuple[str, str]:
    try:
        value = _ANY.decode(body)
    except MALFORMED:
        return _plain(body), ""
    found: dict[str, Any] = value if isinstance(value, dict) else {}
    code = found.get("error_code")
    return _message(found), code if isinstance(code, str) else ""


def _message(found: dict[str, Any]) -> str:
    text = next((found[name] for name in ("message", "detail", "error") if found.get(name)), "")
    if isinstance(text, dict):
        text = text.get("message")
    if isinstance(text, list):
        text = "; ".join(one["msg"] for one in text if isinstance(one, dict) and isinstance(one.get("msg"), str))
    return text if isinstance(text, str) else ""


def _plain(body: bytes) -> str:
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= _PLAIN_CHARS_MAX and text.isprintable() and text[:1] not in ("<", "{", "[") else ""

"""REST: converts status, headers and body of a failure to an exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llm_gateway_client.errors import SidecarError, Unreachable, kind_of_http, of_kind
from llm_gateway_client.values import Json

# An intermediary's error page is of no use beyond its beginning.
_TEXT_CHARS_MAX = 500
# The front's own code for a core that died during the call, which may have reached the provider.
_CORE_GONE = "core_unavailable"


def failure(status: int, headers: Mapping[str, str], body: bytes, request_id: str) -> SidecarError:
    """`headers` have lower-case names. Any body gives an error: JSON in OpenAI's or MLflow's format, or anything
    else."""
    words = _words(body)
    code, param = _text(words.get("code")), _text(words.get("param"))
    request_id = headers.get("x-request-id", request_id)
    if code == _CORE_GONE:
        return Unreachable(str(words.get("message")), kind="unreachable", http_status=status, request_id=request_id)
    etag = etag_of(
        headers
    )  # MLflow's paths have no code: the version that holds now tells a conflict from other refusals
    kind = "conflict" if status == 409 and etag else kind_of_http(status, code, _text(words.get("type")))
    error = of_kind(
        kind,
        _text(words.get("message")) or f"The gateway answered with HTTP {status}.",
        retry_after_s=_seconds(headers.get("retry-after")),
        request_id=request_id,
        param=param,
        code=code,
        may_retry=status in (429, 503) and headers.get("x-should-retry") != "false",
        etag=etag,
    )
    error.http_status = status
    return error


def etag_of(headers: Mapping[str, str]) -> str:
    """The version that an answer names; "" where there is none. A proxy that compresses makes it a weak one."""
    return headers.get("etag", "").removeprefix("W/").strip('"')


def failure_in_stream(event: Json, request_id: str) -> SidecarError:
    """An `error` event, after the answer had started."""
    words = event["error"] if isinstance(event["error"], dict) else {"message": str(event["error"])}
    return of_kind(
        "upstream_interrupted",
        _text(words.get("message")) or "The answer broke off.",
        request_id=request_id,
        param=_text(words.get("param")),
        code=_text(words.get("code")),
    )


def _words(body: bytes) -> Json:
    """Returns message, type, param and code, as far as they are present."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {"message": body[: 4 * _TEXT_CHARS_MAX].decode("utf-8", "replace")[:_TEXT_CHARS_MAX].strip()}
    if not isinstance(value, dict):
        return {}
    error = value.get("error", value.get("detail"))
    if isinstance(error, dict):
        return error
    if isinstance(error, list):  # FastAPI's list of problems
        problems = [each for each in error if isinstance(each, dict)]
        where = [_param(each.get("loc")) for each in problems]
        return {
            "message": "; ".join(f"{at}: {each.get('msg')}" for at, each in zip(where, problems, strict=True)),
            "param": where[0] if where else None,
        }
    return {"message": error} if isinstance(error, str) else {}


def _param(loc: Any) -> str:
    """["body", "messages", 0] -> messages.0."""
    return ".".join(str(step) for step in loc[1:]) if isinstance(loc, list) else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:  # a date, which nothing between here and the gateway writes
        return None

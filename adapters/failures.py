"""Extracts what a provider says about a failure, in whatever format.

Nothing here raises, whatever the body. Messages are not truncated: that could split a key and hide it from the
redaction that follows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from adapters.errors import GatewayError, Kind
from adapters.failure_words import kind_by_words
from adapters.http_errors import bounded_wait_s, retry_after_s
from adapters.json_object import MALFORMED

_ANY = msgspec.json.Decoder()
# Proxies and model servers may answer with a line of text; anything longer is a page.
_PLAIN_CHARS_MAX = 500
# Nested errors: OpenRouter quotes a provider that may quote another. Deeper nesting has not been seen.
_DEPTH_MAX = 4
# The first member with a message: OpenAI's, then those of other servers.
_MESSAGES = (
    "message", "error", "detail", "details", "error_description", "errors", "title", "status_msg", "msg", "error_message",
)  # fmt: skip
_CODES = ("code", "error_code", "status_code", "statusCode", "status")
# A provider's machine-readable code; HTTP statuses and sentences do not count.
_WORD = re.compile(r"[A-Za-z_][\w.-]{0,79}")
# Only the beginning of a text is classified, since a message may quote a caller's whole request.
_SEARCHED_CHARS_MAX = 4_000

_WAIT = re.compile(
    r"(?:retry|try again) (?:in|after) (?:(\d{1,4})m)?(\d{1,6}(?:\.\d{1,9})?) ?(ms|s\b|sec)", re.IGNORECASE
)
_PERIOD = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


@dataclass(frozen=True, slots=True)
class Failure:
    """The contents of an error body."""

    message: str = ""
    type: str = ""
    code: str = ""  # may be digits, as in the body
    param: str | None = None
    retry_after_s: float | None = None
    reasons: str = ""  # machine-readable words other than the message
    detail: str = ""  # Anthropic's more specific code: details.error_code

    def words(self) -> str:
        return " ".join((self.message[:_SEARCHED_CHARS_MAX], self.type, self.code, self.reasons))

    def http_status(self) -> int | None:
        """The HTTP status that OpenRouter, Gemini and vLLM put into `code`, and others into similar members."""
        return int(self.code) if len(self.code) == 3 and self.code.isdigit() and "400" <= self.code < "600" else None


def read_failure(body: bytes) -> Failure:
    """Reads the failure in an error body: an object, a list of one, a string, or a line of plain text."""
    try:
        value = _ANY.decode(body)
    except MALFORMED:
        return Failure(plain_line(body))
    if isinstance(value, list) and value and isinstance(value[0], dict):
        value = value[0]  # Gemini's OpenAI-compatible API wraps its error in a list
    if not isinstance(value, dict):
        return Failure(_text(value, 0))
    error = value.get("error")
    found: dict[str, Any] = error if isinstance(error, dict) else value
    details = [one for one in _list(found.get("details")) if isinstance(one, dict)]
    return Failure(
        message=_whole_message(found),
        type=_string(found.get("type")) or _string(found.get("error_type")),
        code=next((code for name in _CODES if (code := _code(found.get(name)))), ""),
        param=_string(found.get("param")) or None,
        retry_after_s=next(
            (wait_s for one in details if (wait_s := _period_s(one.get("retryDelay"))) is not None), None
        ),
        reasons=" ".join(
            [*(_string(one.get("reason")) for one in details), *_inner_codes(found), _string(found.get("status"))]
        ),
        detail=_string(found["details"].get("error_code")) if isinstance(found.get("details"), dict) else "",
    )


# https://platform.openai.com/docs/guides/error-codes, and the codes of Azure, vLLM, llama.cpp, OpenRouter and Groq.
_NAMED_KINDS = {
    "context_length_exceeded": Kind.CONTEXT_LENGTH_EXCEEDED,
    "exceed_context_size_error": Kind.CONTEXT_LENGTH_EXCEEDED,
    "content_filter": Kind.CONTENT_FILTERED,
    "content_policy_violation": Kind.CONTENT_FILTERED,
    "insufficient_quota": Kind.QUOTA_EXHAUSTED,
    "billing_hard_limit_reached": Kind.QUOTA_EXHAUSTED,
    "rate_limit_exceeded": Kind.RATE_LIMITED,
    "rate_limit_error": Kind.RATE_LIMITED,
    "invalid_api_key": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "authentication_error": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "permission_error": Kind.UPSTREAM_REJECTED_CREDENTIALS,
    "model_not_found": Kind.UPSTREAM_NOT_FOUND,
    "DeploymentNotFound": Kind.UPSTREAM_NOT_FOUND,
    "invalid_request_error": Kind.INVALID_REQUEST,
    "server_error": Kind.UPSTREAM_UNAVAILABLE,
    "api_error": Kind.UPSTREAM_UNAVAILABLE,
    "overloaded_error": Kind.UPSTREAM_UNAVAILABLE,
}


def named_kind(failure: Failure) -> Kind | None:
    """The kind that its code or type stands for, as OpenAI and most others write them."""
    return _NAMED_KINDS.get(failure.code) or _NAMED_KINDS.get(failure.type)


def gateway_error(
    kind: Kind, failure: Failure, *, word: str, status: int | None = None, headers: Mapping[str, str] | None = None
) -> GatewayError:
    """Builds the error of a failure whose kind is known as far as status and codes say. `word` is the provider's
    code.

    `status` is None for a failure inside an answer with 200.
    """
    kind = kind_by_words(kind, failure.words(), failure.http_status() if status is None else status)
    wait_s = None if headers is None else retry_after_s(headers)
    if wait_s is None:
        wait_s = failure.retry_after_s
    if wait_s is None and kind is Kind.RATE_LIMITED:
        wait_s = _wait_in_words(failure.message)
    default = "The provider sent an error." if status is None else f"The provider answered HTTP {status}."
    own = bool(_WORD.fullmatch(word)) and kind is not Kind.CONTEXT_LENGTH_EXCEEDED  # clients compare OpenAI's code
    return GatewayError(
        kind,
        failure.message or default,
        param=failure.param,
        code=word if own else None,
        retry_after_s=wait_s,
        status=status,
    )


def plain_line(body: bytes) -> str:
    """Returns a body that is a line of plain text; HTML pages and truncated JSON say nothing to a caller."""
    try:
        text = body.decode().strip()
    except UnicodeDecodeError:
        return ""
    return text if len(text) <= _PLAIN_CHARS_MAX and text.isprintable() and text[:1] not in ("<", "{", "[") else ""


def _whole_message(found: dict[str, Any]) -> str:
    """The message, including members that only some providers have."""
    message = _message(found, 0)
    more = []
    metadata = found.get("metadata")
    if isinstance(metadata, dict):  # OpenRouter: the answer of the provider behind it
        raw, name = _text(metadata.get("raw"), 0), _string(metadata.get("provider_name"))
        if raw and raw not in message:
            more.append(f"{name}: {raw}" if name else raw)
    inner = found.get("innererror")
    if isinstance(inner, dict) and isinstance(filters := inner.get("content_filter_result"), dict):  # Azure
        met = {name: one for name, one in filters.items() if isinstance(one, dict) and True in one.values()}
        more.append(f"content_filter_result: {msgspec.json.encode(met or filters).decode('utf-8', 'replace')}")
    if failed := found.get("failed_generation"):  # Groq: the tool call that it could not parse
        text = failed if isinstance(failed, str) else msgspec.json.encode(failed).decode("utf-8", "replace")
        more.append(f"failed_generation: {text}")
    return " ".join([message, *(f"({one})" for one in more)]).strip()


def _message(found: dict[str, Any], depth: int) -> str:
    base = found.get("base_resp")  # MiniMax
    if isinstance(base, dict):
        found = {**found, **base}
    return next((text for name in _MESSAGES if (text := _text(found.get(name), depth))), "")


def _text(value: Any, depth: int) -> str:
    """The text in a member, which may be an object or the JSON text of another error."""
    if depth > _DEPTH_MAX:
        return ""
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            try:
                return _text(_ANY.decode(value), depth + 1) or value
            except MALFORMED:
                return value
        return value.strip()
    if isinstance(value, dict):
        text = _message(value, depth + 1)
        return f"{place}: {text}" if text and (place := _place(value.get("loc"))) else text
    return "; ".join(text for one in _list(value) if (text := _text(one, depth + 1)))


def _place(loc: Any) -> str:
    """FastAPI's path to a member: ["body", "messages", 0]."""
    return ".".join(str(step) for step in _list(loc) if isinstance(step, str | int))


def _inner_codes(found: dict[str, Any]) -> list[str]:
    inner = found.get("innererror")
    return [_string(inner.get("code"))] if isinstance(inner, dict) else []


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _code(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _period_s(value: Any) -> float | None:
    """A protobuf duration in JSON, "38.5s"."""
    match = _PERIOD.fullmatch(value) if isinstance(value, str) else None
    return bounded_wait_s(float(match[1])) if match else None


def _wait_in_words(message: str) -> float | None:
    match = _WAIT.search(message[:_SEARCHED_CHARS_MAX])
    if match is None:
        return None
    value = float(match[2]) / (1000 if match[3].lower() == "ms" else 1) + 60 * float(match[1] or 0)
    return bounded_wait_s(value)

"""Why a call failed: error bodies, and error objects inside a 200. Also of servers that only resemble OpenAI's."""

from __future__ import annotations

import re

import msgspec

from adapters._contract import Headers
from adapters._errors import GatewayError, Kind
from adapters._http_errors import kind_of_status, retry_after_s
from adapters._json import MALFORMED, Obj, of_answer

# https://platform.openai.com/docs/guides/error-codes, and the words of Azure, vLLM, OpenRouter and Groq.
_KINDS = {
    "context_length_exceeded": Kind.CONTEXT_LENGTH_EXCEEDED,
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
# Where the code says nothing: vLLM, llama.cpp and older OpenAI models only use words.
_TOO_LONG = re.compile(r"maximum context length|context (?:size|window)|prompt is too long", re.IGNORECASE)
# A type that says less than the status does.
_VAGUE = frozenset({Kind.INVALID_REQUEST, Kind.UPSTREAM_UNAVAILABLE})
_ANY = msgspec.json.Decoder()


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """The reason of a failed HTTP answer; never raises, whatever the body."""
    message, type_, code, param = _words(body)
    kind = kind_of_status(status)
    said = _KINDS.get(code or "") or _KINDS.get(type_ or "")
    if said is not None and said not in _VAGUE:
        kind = said
    if kind is Kind.INVALID_REQUEST and message and _TOO_LONG.search(message):
        kind = Kind.CONTEXT_LENGTH_EXCEEDED
    return GatewayError(
        kind,
        message or f"The provider answered HTTP {status}.",
        param=param,
        code=code or None,
        retry_after_s=retry_after_s(headers),
        status=status,
    )


def in_band(raw: bytes) -> GatewayError:
    """The reason in an error object that came with HTTP 200."""
    message, type_, code, param = _words(b'{"error":' + raw + b"}")
    kind = _KINDS.get(code or "") or _KINDS.get(type_ or "") or Kind.UPSTREAM_UNAVAILABLE
    if code and code.isdigit() and 400 <= int(code[:3]) < 600:  # OpenRouter puts an HTTP status there
        kind = kind_of_status(int(code[:3]))
    if kind is Kind.INVALID_REQUEST and message and _TOO_LONG.search(message):
        kind = Kind.CONTEXT_LENGTH_EXCEEDED
    return GatewayError(kind, message or "The provider sent an error.", code=code or None, param=param)


def _words(body: bytes) -> tuple[str, str, str, str | None]:
    """Message, type, code, param, as far as the body has them."""
    try:
        value = _ANY.decode(body)
    except MALFORMED:
        return "", "", "", None
    if isinstance(value, list) and value:
        value = value[0]  # Gemini's OpenAI format wraps its error in a list
    if not isinstance(value, dict):
        return "", "", "", None
    inner = value.get("error")
    found = inner if isinstance(inner, dict) else value
    message = (
        inner
        if isinstance(inner, str)
        else next(
            (found[name] for name in ("message", "detail", "error_description") if isinstance(found.get(name), str)), ""
        )
    )
    type_, code, param = (found.get(name) for name in ("type", "code", "param"))
    return (
        message,
        type_ if isinstance(type_, str) else "",
        str(code) if isinstance(code, str | int) and not isinstance(code, bool) else "",
        param if isinstance(param, str) else None,
    )


def refuse_error(answer: Obj) -> None:
    """Raises what an error object inside a 200 says."""
    raw = answer.take("error")
    if raw is not None:
        raise in_band(raw)


def protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {what}.")


_ABSENT = msgspec.Raw(b"null")


class _Whole(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    data: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


_WHOLE = msgspec.json.Decoder(_Whole)


def checker(member: str) -> object:
    """`check`: the body is one whole JSON object with the list that makes it an answer; its usage comes out."""
    from adapters.openai._words import read_usage

    def check(body: bytes) -> object:
        try:
            whole = _WHOLE.decode(body)
            if not body.isascii():
                body.decode()
        except MALFORMED:
            raise of_answer("the body", "one JSON object") from None
        if bytes(whole.error) != b"null":
            raise in_band(bytes(whole.error))
        if getattr(whole, member) is None:
            raise of_answer(member, "a list")
        return read_usage(Obj(b'{"usage":' + bytes(whole.usage) + b"}", "", of_answer))

    return check

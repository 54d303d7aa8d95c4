"""Classifies failures: error bodies, and error objects inside a 200, including those of OpenAI-compatible servers."""

from __future__ import annotations

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.failures import Failure, gateway_error, named_kind, read_failure
from adapters.http_errors import kind_of_status
from adapters.json_object import Obj

# A type that is less specific than the status.
_VAGUE = frozenset({Kind.INVALID_REQUEST, Kind.UPSTREAM_UNAVAILABLE})

_STRING_START = b'"'


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """Classifies a failed HTTP answer. Never raises, whatever the body."""
    failure = read_failure(body)
    kind, named = kind_of_status(status), named_kind(failure)
    if named is not None and named not in _VAGUE:
        kind = named
    return gateway_error(kind, failure, word=failure.code, status=status, headers=headers)


def in_band(raw: bytes, whole: bytes | None = None) -> GatewayError:
    """Classifies the error that came with HTTP 200. Some servers put a sentence there and its code next to it, in
    the `whole` object."""
    if whole is not None and raw.startswith(_STRING_START):
        return _of_200(read_failure(whole))
    return _of_200(read_failure(b'{"error":' + raw + b"}"))


def no_answer(body: bytes, missing: str) -> GatewayError:
    """Classifies a 200 without an answer: a failure described in other members (MiniMax's base_resp, a FastAPI
    server's detail), or an answer that is not of the format."""
    return described(body) or protocol(f"it has no {missing}")


def described(body: bytes) -> GatewayError | None:
    failure = read_failure(body)
    return _of_200(failure) if failure.message else None


def _of_200(failure: Failure) -> GatewayError:
    status = failure.http_status()
    kind = (named_kind(failure) or Kind.UPSTREAM_UNAVAILABLE) if status is None else kind_of_status(status)
    return gateway_error(kind, failure, word=failure.code)


def refuse_error(answer: Obj, whole: bytes | None = None) -> None:
    """Raises the error inside a 200, if there is one. `whole` is the object's text."""
    raw = answer.take("error")
    if raw is not None:
        raise in_band(raw, whole)


def protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {what}.")

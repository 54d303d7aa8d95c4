"""Why a call failed: error bodies, and error objects inside a 200. Also of servers that only resemble OpenAI's."""

from __future__ import annotations

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.failures import Failure, gateway_error, named_kind, read_failure
from adapters.http_errors import kind_of_status
from adapters.json_object import Obj

# A type that says less than the status does.
_VAGUE = frozenset({Kind.INVALID_REQUEST, Kind.UPSTREAM_UNAVAILABLE})

_STRING_START = b'"'


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """The reason of a failed HTTP answer; never raises, whatever the body."""
    failure = read_failure(body)
    kind, named = kind_of_status(status), named_kind(failure)
    if named is not None and named not in _VAGUE:
        kind = named
    return gateway_error(kind, failure, word=failure.code, status=status, headers=headers)


def in_band(raw: bytes, whole: bytes | None = None) -> GatewayError:
    """The reason in the error that came with HTTP 200. Some servers write a sentence there and its code beside it, in the
    `whole` object."""
    if whole is not None and raw.startswith(_STRING_START):
        return _of_200(read_failure(whole))
    return _of_200(read_failure(b'{"error":' + raw + b"}"))


def no_answer(body: bytes, missing: str) -> GatewayError:
    """What a 200 without its answer is: the failure that it describes in other members (MiniMax's base_resp, a FastAPI server's
    detail), or no answer of the format."""
    return described(body) or protocol(f"it has no {missing}")


def described(body: bytes) -> GatewayError | None:
    failure = read_failure(body)
    return _of_200(failure) if failure.message else None


def _of_200(failure: Failure) -> GatewayError:
    status = failure.http_status()
    kind = (named_kind(failure) or Kind.UPSTREAM_UNAVAILABLE) if status is None else kind_of_status(status)
    return gateway_error(kind, failure, word=failure.code)


def refuse_error(answer: Obj, whole: bytes | None = None) -> None:
    """Raises what an error inside a 200 says. `whole` is the object's own text."""
    raw = answer.take("error")
    if raw is not None:
        raise in_band(raw, whole)


def protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {what}.")

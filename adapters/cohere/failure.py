"""Classifies failures: Cohere's flat error bodies, and failures inside an answer with 200."""

from __future__ import annotations

import re
from dataclasses import replace

import msgspec

from adapters.contract import Headers
from adapters.errors import GatewayError, Kind
from adapters.failures import gateway_error, read_failure
from adapters.http_errors import kind_of_status
from adapters.json_object import Obj

# https://docs.cohere.com/reference/errors; 498 is Cohere's own status for a refused token.
_STATUSES = {498: Kind.UPSTREAM_REJECTED_CREDENTIALS, 499: Kind.UPSTREAM_TIMEOUT, 501: Kind.INVALID_REQUEST}
_TYPES = {"TOO_MANY_TOKENS": Kind.CONTEXT_LENGTH_EXCEEDED}
# Only the message reveals these. An exhausted trial key has the status of a rate limit.
_QUOTA = re.compile(r"calls\s*/\s*month|billing limit|payment", re.IGNORECASE)
_WORDY = frozenset({Kind.INVALID_REQUEST, Kind.RATE_LIMITED})


def error(status: int, headers: Headers, body: bytes) -> GatewayError:
    """Classifies a failed HTTP answer. Never raises, whatever the body."""
    failure = read_failure(body)
    kind = _TYPES.get(failure.type) or _STATUSES.get(status) or kind_of_status(status)
    if kind in _WORDY and _QUOTA.search(failure.words()):
        kind = Kind.QUOTA_EXHAUSTED
    return gateway_error(kind, failure, word=failure.type, status=status, headers=headers)


def in_band(answer: Obj) -> GatewayError:
    """Classifies an answer or event whose finish reason is ERROR, or that has the format of an error body.
    Generation failed, so a retry may help."""
    # A `message` that is an object is the beginning of an answer, not an error message.
    names = [name for name in ("error", "error_type", "message") if bytes(answer.members.get(name, b"{"))[:1] != b"{"]
    failure = read_failure(msgspec.json.encode({name: answer.members[name] for name in names}))
    if not failure.message:
        failure = replace(failure, message="The provider could not generate an answer.")
    return gateway_error(_TYPES.get(failure.type, Kind.UPSTREAM_UNAVAILABLE), failure, word=failure.type)


def protocol(what: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is not of its format: {what}.")

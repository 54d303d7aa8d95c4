"""Who calls, and how an answer to them fails. What both services need of a gRPC call beside its message.

A call is the front proxy's iff it came over the front socket, which alone has local credentials: `transport_security_type`
is then "local". Only there is `x-sidecar-user` read. On the local gRPC port and socket every caller is the consumer
"local", whatever headers it sends.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any

import grpc

from adapters import GatewayError, Kind
from sidecar.domain.caller import LOCAL_CONSUMER, Caller

USER_KEY = "x-sidecar-user"
REQUEST_ID_KEY = "x-request-id"
# A request id that is harmless in logs and headers; any other is replaced.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# grpc says "no deadline" with a very large number on some paths.
_NO_DEADLINE_S = 10 * 365 * 24 * 3600.0

Context = grpc.aio.ServicerContext[Any, Any]


def caller_of(context: Context) -> Caller:
    """Raises unauthenticated for a call on the front socket that names no user: the front is set up wrongly."""
    metadata = context.invocation_metadata() or ()
    user, local = LOCAL_CONSUMER, True
    if is_front(context):
        users = [value for key, value in metadata if key == USER_KEY]
        if len(users) != 1 or not users[0]:
            raise GatewayError(Kind.UNAUTHENTICATED, "The front proxy named no user.")
        user, local = str(users[0]), False
    return Caller(user, local, request_id_of(metadata), _deadline_of(context))


def is_front(context: Context) -> bool:
    return b"local" in context.auth_context().get("transport_security_type", ())


def request_id_of(metadata: Any) -> str:
    """The id the caller or the front chose, if it is harmless; else a new one."""
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return secrets.token_hex(16)


def _deadline_of(context: Context) -> float | None:
    remaining = context.time_remaining()
    if remaining is None or remaining > _NO_DEADLINE_S:
        return None
    return asyncio.get_running_loop().time() + remaining

"""The caller of a gRPC call: who it is, how long it waits, and how long it may take to read.

A call comes from the front proxy exactly if it arrived on the front socket. Only there is `x-sidecar-user` read. On
the local listeners every caller is the consumer "local", whatever headers it sends.

A client that stops reading blocks us as well (HTTP/2 flow control), and with us the provider's connection and an
admission slot. Nginx prevents this: it buffers everything and disconnects slow clients itself (`send_timeout`).
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable
from typing import Any

from adapters import GatewayError, Kind
from sidecar.domain.caller import LOCAL_CONSUMER, Caller
from sidecar.transport import Context, Listener

__all__ = ["Context", "caller_of", "request_id_of"]

# Request ids only have to be unique, not secret; the system's random source costs a system call each time.
_CHANCE = random.Random()
USER_KEY = "x-sidecar-user"
REQUEST_ID_KEY = "x-request-id"
# Request ids that are safe in logs and headers. Others are replaced.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def caller_of(context: Context, request_id: str | None = None) -> Caller:
    """Returns the caller. Pass `request_id` if it is known already.

    Raises unauthenticated for a call on the front socket without a user name, which means that the front is
    misconfigured.
    """
    metadata = context.invocation_metadata() or ()
    if request_id is None:
        request_id = request_id_of(metadata)
    if context.listener is not Listener.FRONT:
        return Caller(LOCAL_CONSUMER, True, request_id, context.deadline)
    users = [value for key, value in metadata if key == USER_KEY]
    if len(users) != 1 or not users[0]:
        raise GatewayError(Kind.UNAUTHENTICATED, "The front proxy sent no user name.")
    return Caller(str(users[0]), False, request_id, context.deadline)


def request_id_of(metadata: Any) -> str:
    """Returns the id that the caller or the front chose, if it is safe; otherwise a new one."""
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return f"{_CHANCE.getrandbits(128):032x}"


class ClientStalled(GatewayError):
    """The client has not read anything for too long. The call can only be aborted: gRPC still holds the unread
    message."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(Kind.CANCELLED, f"The client did not read the answer for {limit_s:g} s.")


async def write_within(context: Context, limit_s: float, *messages: Any) -> None:
    """Writes the messages. Raises ClientStalled if the client does not make room for them within `limit_s`."""
    rest = context.begin_write(*messages)
    if rest is not None:
        await taken_within(limit_s, rest)


async def taken_within(limit_s: float, rest: Awaitable[None]) -> None:
    """Like `write_within`, for what `begin_write` or `begin_answer` returned: nearly always None, and then no timer
    is set."""
    try:
        async with asyncio.timeout(limit_s):
            await rest
    except TimeoutError:
        raise ClientStalled(limit_s) from None

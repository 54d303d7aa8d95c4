"""The caller at the other end of a gRPC call: who it is, until when it waits, and how long it may take to read.

A call is the front proxy's if and only if it came over the front socket. Only there is `x-sidecar-user` read. On the local
listeners every caller is the consumer "local", whatever headers it sends.

A client that stops reading stops us too (HTTP/2's flow control), and with us the provider's connection and a place of the
admission. Behind Nginx this does not happen here: it reads all and cuts slow clients itself (`send_timeout`).
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

# A request id tells calls apart and guards nothing; the system's own randomness costs a system call each time.
_CHANCE = random.Random()
USER_KEY = "x-sidecar-user"
REQUEST_ID_KEY = "x-request-id"
# A request id that is harmless in logs and headers; any other is replaced.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def caller_of(context: Context, request_id: str | None = None) -> Caller:
    """`request_id`: where it is known already.

    Raises unauthenticated for a call on the front socket that names no user: the front is set up wrongly.
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
    """The id the caller or the front chose, if it is harmless; else a new one."""
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return f"{_CHANCE.getrandbits(128):032x}"


class ClientStalled(GatewayError):
    """The client has read nothing for too long. The call can only be aborted now: gRPC still holds the unread message."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(Kind.CANCELLED, f"The client did not read the answer for {limit_s:g} s.")


async def write_within(context: Context, limit_s: float, *messages: Any) -> None:
    """Raises ClientStalled when the client has not made room for the messages in `limit_s`."""
    rest = context.begin_write(*messages)
    if rest is not None:
        await taken_within(limit_s, rest)


async def taken_within(limit_s: float, rest: Awaitable[None]) -> None:
    """The same for what `begin_write` or `begin_answer` had to leave: nearly always nothing, and then no clock is set."""
    try:
        async with asyncio.timeout(limit_s):
            await rest
    except TimeoutError:
        raise ClientStalled(limit_s) from None

"""What goes to a client over gRPC, and how long it may take to be taken.

A client that stops reading stops us too (HTTP/2's flow control), and with us the provider's connection and a place of the
admission. Behind Nginx this does not happen here: it reads all and cuts slow clients itself (`send_timeout`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from adapters import GatewayError, Kind
from sidecar.transport.caller import Context


class ClientStalled(GatewayError):
    """The client took nothing for too long. The call can only be aborted now: gRPC still holds the message that was not taken."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(Kind.CANCELLED, f"The client took nothing of the answer for {limit_s:g} s.")


async def write_within(context: Context, message: Any, limit_s: float) -> None:
    """Raises ClientStalled when the client has not made room for the message in `limit_s`."""
    rest = context.begin_write(message)
    if rest is None:  # as nearly always: no timer for what need not wait
        return
    try:
        async with asyncio.timeout(limit_s):
            await rest
    except TimeoutError:
        raise ClientStalled(limit_s) from None

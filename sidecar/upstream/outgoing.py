"""Sends a request as fast as the socket accepts it."""

from __future__ import annotations

import asyncio

# A body is sent in pieces of this size, since the provider may answer before it has read all of it.
_PIECE_BYTES = 256 * 1024


class Outgoing:
    """One per connection. `whole`: the entire request was handed to the transport."""

    __slots__ = ("_left", "_writable", "whole")

    def __init__(self) -> None:
        self._left: memoryview | None = None
        self._writable = True
        self.whole = True

    def begin(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        if len(body) <= _PIECE_BYTES:
            self.whole = True
            transport.write(head + body)
            return
        self.whole = False
        self._left = memoryview(body)
        transport.write(head)
        self._go_on(transport)

    def _go_on(self, transport: asyncio.Transport) -> None:
        while self._left is not None and self._writable and not transport.is_closing():
            piece, rest = self._left[:_PIECE_BYTES], self._left[_PIECE_BYTES:]
            self._left = rest if len(rest) else None
            self.whole = self._left is None
            transport.write(piece)

    def stop(self) -> None:
        """The rest of the request is not needed."""
        self._left = None

    def paused(self) -> None:
        self._writable = False

    def resumed(self, transport: asyncio.Transport | None) -> None:
        self._writable = True
        if transport is not None:
            self._go_on(transport)

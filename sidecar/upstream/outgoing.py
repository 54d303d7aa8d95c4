"""A request on its way out, as fast as the socket takes it."""

from __future__ import annotations

import asyncio

# A body goes out in pieces of this: the provider may answer before it has read all of it.
_PIECE_BYTES = 256 * 1024


class Outgoing:
    """One for each connection. `whole`: all of the request was handed to the transport."""

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
        """The rest of the request is not wanted."""
        self._left = None

    def paused(self) -> None:
        self._writable = False

    def resumed(self, transport: asyncio.Transport | None) -> None:
        self._writable = True
        if transport is not None:
            self._go_on(transport)

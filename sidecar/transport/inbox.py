"""The messages of a streamed request. Only reflection has one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from sidecar.transport.status import Refused, Status

if TYPE_CHECKING:
    from sidecar.transport.call import Call


class Inbox:
    """An async iterator over the messages of a streamed request. Bytes are released only as the handler takes
    messages."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._pieces: asyncio.Queue[tuple[bytes, bool] | None] = asyncio.Queue()

    def arrived(self, data: bytes, ended: bool) -> None:
        self._pieces.put_nowait((data, ended))

    def stop(self) -> None:
        self._pieces.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Any]:
        ended = False
        while not ended:
            piece = await self._pieces.get()
            if piece is None:
                return
            data, ended = piece
            for message in self._call.reader.feed(data):
                yield await self._call.message_of(message)
            self._call.taken(len(data))
        if self._call.reader.held_bytes:
            raise Refused(Status.INTERNAL, "The request ends in the middle of a message.")

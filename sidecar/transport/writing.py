"""Sends the messages of an answer as far as windows and socket allow, and waits for both."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any

from sidecar.transport.codec import StreamGone
from sidecar.transport.framing import framed
from sidecar.transport.metadata import Pair, written
from sidecar.transport.methods import Method

if TYPE_CHECKING:
    from sidecar.transport.connection import Connection

CONTENT_TYPE = ("content-type", b"application/grpc")
ENCODINGS = ("grpc-accept-encoding", b"identity,gzip")
# What a handler may write without yielding to the event loop: one piece of a REST answer.
_BURST_BYTES = 64 * 1024


class Writing:
    """The sending half of a call."""

    __slots__ = (
        "_burst_bytes",
        "_connection",
        "_halfway",
        "_room",
        "_turn",
        "begun",
        "blocked_since",
        "ended",
        "id",
        "method",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.id = 0
        self.method: Method | None = None
        self.begun = False  # the head of the answer has been sent
        self.ended = False  # nothing more can be sent
        self.blocked_since: float | None = None  # since when a write has been waiting
        self._room: asyncio.Future[None] | None = None
        self._halfway = False  # a message has been sent in part
        self._burst_bytes = 0
        self._turn = -1

    async def send_initial_metadata(self, metadata: Sequence[Pair]) -> None:
        if self.begun:
            raise RuntimeError("The initial metadata is sent already.")
        self._begin(metadata)

    async def write(self, message: Any) -> None:
        rest = self.begin_write(message)
        if rest is not None:
            await rest

    def begin_answer(self, metadata: Sequence[Pair], *messages: Any) -> Awaitable[None] | None:
        if self.begun:
            raise RuntimeError("The initial metadata is sent already.")
        self._begin(metadata)
        return self.begin_write(*messages)

    def begin_write(self, *messages: Any) -> Awaitable[None] | None:
        assert self.method is not None
        written = self.method.written
        data = framed(written(messages[0])) if len(messages) == 1 else b"".join([framed(written(m)) for m in messages])
        connection = self._connection
        if not self.begun:
            self._begin(())
        elif self.ended:
            raise asyncio.CancelledError
        if self._turn != connection.turn:
            self._turn, self._burst_bytes = connection.turn, 0
        if connection.paused or self._burst_bytes >= _BURST_BYTES:
            return self._write_rest(data, 0)
        self._burst_bytes += len(data)
        sent = self._sent(data, 0)
        if sent == len(data):
            return None
        self._halfway = sent > 0
        return self._write_rest(data, sent)

    def _begin(self, metadata: Sequence[Pair]) -> None:
        connection, codec = self._connection, self._connection.codec
        headers = codec.headers([CONTENT_TYPE, ENCODINGS, *written(metadata)]) if metadata else connection.head
        try:
            codec.respond(self.id, 200, headers, end=False)
        except StreamGone:
            raise asyncio.CancelledError from None
        self.begun = True

    def _sent(self, data: bytes, offset: int) -> int:
        try:
            return self._connection.codec.write(self.id, data, offset)
        except StreamGone:
            raise asyncio.CancelledError from None

    async def _write_rest(self, data: bytes, offset: int) -> None:
        connection = self._connection
        if self._burst_bytes >= _BURST_BYTES:
            await asyncio.sleep(0)
        try:
            while offset < len(data):
                sent = 0 if connection.paused else self._sent(data, offset)
                offset += sent
                self._halfway = 0 < offset < len(data)
                if sent or self.blocked_since is None:  # a wake-up without room does not restart the timer
                    self.blocked_since = connection.loop.time()
                if not sent:
                    await self._wait_for_room()
        finally:
            self.blocked_since = None

    async def _wait_for_room(self) -> None:
        self._room = self._connection.loop.create_future()
        self._connection.blocked.add(self)
        try:
            await self._room
        finally:
            self._room = None
            self._connection.blocked.discard(self)

    def writable(self) -> None:
        """A waiting write can be tried again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

"""One call on a connection: incoming request, handler, outgoing answer. It is the Context of its servicer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Never

from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.transport.codec import Reason, StreamGone
from sidecar.transport.context import Listener
from sidecar.transport.framing import Message, MessageReader, unpacked
from sidecar.transport.inbox import Inbox
from sidecar.transport.metadata import Pair
from sidecar.transport.methods import Method
from sidecar.transport.status import Aborted, Refused, Status, number, trailers
from sidecar.transport.writing import CONTENT_TYPE, ENCODINGS, Writing

if TYPE_CHECKING:
    from sidecar.transport.connection import Connection

log = logging.getLogger(__name__)

# A handler that watches the caller's deadline gives a better error than we can, so ours fires just after.
_DEADLINE_MARGIN_S = 0.02


class Call(Writing):
    """Created for each block of headers; the connection calls `opened` once it is known to begin a request."""

    __slots__ = (
        "_deadline",
        "_deadline_passed",
        "_entered",
        "_inbox",
        "_metadata",
        "_task",
        "_trailing",
        "cut_at",
        "gzip",
        "held_bytes",
        "messages",
        "reader",
        "received_at",
        "request_bytes",
        "requested",
    )

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.request_bytes = 0  # size of the newest message, decompressed
        self.requested = False  # the whole request has arrived
        self.received_at = 0.0  # the newest part of an unfinished request
        self.held_bytes = 0  # this call's share of the memory for unfinished requests
        self.messages: list[Message] = []
        self._task: asyncio.Task[None] | None = None
        self._entered = False  # the task has run once; cancelling it earlier would not run any of our code
        self._trailing: Sequence[Pair] = ()
        self._deadline: float | None = None
        self.cut_at: float | None = None  # event loop time; enforced by the connection's timer
        self._deadline_passed = False
        self._inbox: Inbox | None = None
        self._metadata: Sequence[Pair] = ()

    # ----- the request -----

    def accept(self, method: Method, metadata: list[Pair], timeout_s: float | None, gzip: bool, now: float) -> None:
        """Accepts the call; its headers are valid."""
        connection = self._connection
        self.method = method
        self._metadata = metadata
        self.gzip = gzip
        self.received_at = now
        self.reader = MessageReader(connection.limits.message_bytes)
        if timeout_s is not None:
            self._deadline = now + timeout_s
            margin_s = _DEADLINE_MARGIN_S if timeout_s > 0 else 0.0
            self.cut_at = self._deadline + margin_s
            connection.deadlines.expect(self.cut_at)
        if method.takes_stream:
            self._inbox = Inbox(self)
            self._start(self._inbox)

    def arrived(self, data: bytes, ended: bool) -> None:
        """Handles a piece of the body. Raises Refused."""
        if self._inbox is not None:
            self.requested = ended
            self._inbox.arrived(data, ended)
            return
        for message in self.reader.feed(data):
            if self.messages:
                raise Refused(Status.INTERNAL, "The request has more than one message; this method takes one.")
            self.messages.append(message)
        if ended:
            if self.reader.held_bytes:
                raise Refused(Status.INTERNAL, "The request ends in the middle of a message.")
            if not self.messages:
                raise Refused(Status.INTERNAL, "The request has no message; this method takes one.")
            self.requested = True
            self._start(self.messages.pop())

    def taken(self, size: int) -> None:
        """Called when the handler of a streamed request takes `size` bytes."""
        if size:
            self._connection.codec.release(self.id, size)

    def _start(self, request: Any) -> None:
        self._task = self._connection.loop.create_task(self._run(request))

    async def message_of(self, message: Message) -> Any:
        method = self.method
        assert method is not None
        if not message.compressed:
            self.request_bytes = message.size
            return await off_loop(message.size, lambda: method.read(message.take()))
        if not self.gzip:
            raise Refused(Status.INTERNAL, "A message is marked as compressed, but grpc-encoding names no compression.")
        data = await unpacked(message.take(), self._connection.limits.message_bytes)
        self.request_bytes = len(data)
        return await off_loop(len(data), method.read, data)

    # ----- the handler -----

    async def _run(self, request: Any) -> None:
        assert self.method is not None
        self._entered = True
        try:
            if self._inbox is None:
                if request.compressed or request.size > LARGE_BYTES:
                    request = await self.message_of(request)
                else:
                    self.request_bytes = request.size
                    request = self.method.read(request.take())
            method = self.method
            served = method.serve(request, self)
            if type(served) is not CoroutineType and hasattr(served, "__aiter__"):
                async with aclosing(served):
                    async for message in served:
                        await self.write(message)
            else:
                answer = await served
                if not method.gives_stream and (rest := self.begin_write(answer)) is not None:
                    await rest
            self.end(Status.OK)
        except Aborted as aborted:
            self.end(aborted.code, aborted.message, aborted.trailing)
        except asyncio.CancelledError:
            if self._deadline_passed:
                self.end(Status.DEADLINE_EXCEEDED, "The deadline has passed.")
            elif not self.ended:
                self.end(Status.CANCELLED, "The gateway ended the call.")
            raise
        except Exception:
            log.exception("unexpected exception in the servicer of %s; this is a bug in the gateway", self.method.path)
            self.end(Status.INTERNAL, "The gateway failed.")

    def cancel(self) -> None:
        """Cancels the handler, which sees CancelledError and may decide how the call ends."""
        self._cancel(Status.CANCELLED, "The gateway ended the call.")

    def _cancel(self, code: int, message: str) -> None:
        if self._task is not None:
            self._task.cancel()
        if not self._entered:
            self.end(code, message)

    def stopped(self) -> None:
        """The peer cancelled the call. The handler is cancelled in the same turn of the loop."""
        self._close()
        if self._task is not None:
            self._task.cancel()
        elif self._inbox is not None:
            self._inbox.stop()

    def stall(self) -> None:
        """The client has not opened its flow-control window for too long."""
        self._halfway = True  # the status cannot overtake what is queued
        self.cancel()

    def deadline_has_passed(self) -> None:
        """Called once, by the connection's timer."""
        self.cut_at = None
        self._deadline_passed = True
        self._cancel(Status.DEADLINE_EXCEEDED, "The deadline has passed.")

    # ----- the answer -----

    def end(self, code: int, message: str = "", trailing: Sequence[Pair] | None = None) -> None:
        """Sends the status. Only the first call has an effect."""
        if self.ended:
            return
        connection, codec = self._connection, self._connection.codec
        try:
            if self._halfway:
                codec.reset(self.id, Reason.CANCEL if code == Status.CANCELLED else Reason.INTERNAL_ERROR)
            else:
                last = self._trailing if trailing is None else trailing
                if code == Status.OK and not last and self.begun:
                    codec.trailers(self.id, connection.ok_trailers)
                else:
                    self._send_status(trailers(code, message, last))
        except StreamGone:
            pass
        except ValueError:
            log.exception("invalid metadata from the servicer of %s", self.method and self.method.path)
            codec.reset(self.id, Reason.INTERNAL_ERROR)
        self._close()

    def _send_status(self, pairs: list[tuple[str, bytes]]) -> None:
        codec = self._connection.codec
        if self.begun:
            codec.trailers(self.id, codec.headers(pairs))
        else:
            head = [CONTENT_TYPE, ENCODINGS, *pairs]
            codec.respond(self.id, 200, codec.headers(head), end=True)

    def refuse_http(self, status: int, headers: list[tuple[str, bytes]]) -> None:
        """Answers a request that is not gRPC."""
        try:
            self._connection.codec.respond(self.id, status, self._connection.codec.headers(headers), end=True)
        except StreamGone:
            pass
        self._close()

    def _close(self) -> None:
        if not self.ended:
            self.ended = True
            self._connection.closed(self)

    # ----- what a servicer sees -----

    @property
    def listener(self) -> Listener:
        return self._connection.listener

    def peer(self) -> str:
        return self._connection.peer

    def invocation_metadata(self) -> Sequence[Pair]:
        return self._metadata

    @property
    def deadline(self) -> float | None:
        return self._deadline

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - self._connection.loop.time())

    def set_trailing_metadata(self, metadata: Sequence[Pair]) -> None:
        self._trailing = metadata

    def trailing_metadata(self) -> Sequence[Pair]:
        return self._trailing

    async def abort(self, code: Any, message: str = "", trailing_metadata: Sequence[Pair] = ()) -> Never:
        raise Aborted(number(code), message, trailing_metadata)

"""One connection: moves bytes between a socket and a codec, hands requests to their calls, and enforces the limits."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, cast

from sidecar.transport.call import Call
from sidecar.transport.codec import ConnectionFault, Head
from sidecar.transport.context import Listener
from sidecar.transport.deadlines import Deadlines
from sidecar.transport.httpunk_codec import HttpunkCodec
from sidecar.transport.metadata import MalformedMetadata, read, timeout_s
from sidecar.transport.meter import Breach, FrameMeter
from sidecar.transport.methods import Method
from sidecar.transport.status import Refused, Status
from sidecar.transport.writing import CONTENT_TYPE, ENCODINGS, Writing

if TYPE_CHECKING:
    from sidecar.transport.server import Server

# Content types that we serve. "+json" and gRPC-Web would be misread.
_CONTENT_TYPES = (b"application/grpc", b"application/grpc+proto")
_AGE_VARIES = 0.1


class Connection(asyncio.Protocol):
    """A connection, which is also the codec's Sink."""

    def __init__(self, server: Server, listener: Listener) -> None:
        self.server = server
        self.limits = server.limits
        self.listener = listener
        self.loop = asyncio.get_running_loop()
        self.codec = HttpunkCodec(self, server.limits)
        self.calls: set[Call] = set()
        self.blocked: set[Writing] = set()
        self.deadlines = Deadlines(self.loop, self.calls)
        self.paused = False
        self.peer = "unix:"
        self.turn = 0  # number of flushes; a handler that writes continuously yields between them
        self.head = self.codec.headers([CONTENT_TYPE, ENCODINGS])
        self.ok_trailers = self.codec.headers([("grpc-status", b"0")])
        self._meter = FrameMeter(server.limits)
        self._transport: asyncio.Transport
        self._flushing = False
        self._leaving = False  # further input is ignored
        self._unread_answers_bytes = 0
        self.reading = True
        self._made_at = self._busy_at = self.loop.time()
        age_s = server.limits.age_s
        self._go_at = (
            None if age_s is None else self._made_at + age_s * random.uniform(1 - _AGE_VARIES, 1 + _AGE_VARIES)
        )
        self._drain_began_at: float | None = None
        self._lingering: asyncio.TimerHandle | None = None

    # ----- the socket -----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's unix transports are not a subclass
        name = transport.get_extra_info("peername")
        if isinstance(name, tuple):
            self.peer = f"ipv6:[{name[0]}]:{name[1]}" if ":" in name[0] else f"ipv4:{name[0]}:{name[1]}"
        self.server.opened(self)
        self.codec.begin()

    def data_received(self, data: bytes) -> None:
        if self._leaving:
            return
        if self.paused:
            self._unread(len(data))
        try:
            self._meter.count(data, self.loop.time())
            self.codec.receive(data)
        except Breach as breach:
            self.codec.go_away(breach.reason)
            self._fault(str(breach))
        except ConnectionFault as fault:
            self._fault(str(fault))

    def eof_received(self) -> None:
        """gRPC has no half-closed connections, so a client that stops writing is gone. The socket closes on return."""
        self._lost()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost()
        if self._lingering is not None:  # keeps this object from outliving the connection
            self._lingering.cancel()
        self.server.gone(self)

    def pause_writing(self) -> None:
        self.paused = True
        self._unread_answers_bytes = 0

    def resume_writing(self) -> None:
        self.paused = False
        if not self.reading:
            self.reading = True
            self._transport.resume_reading()
        self._flush()
        for call in tuple(self.blocked):
            call.writable()

    def _unread(self, size: int) -> None:
        """Bounds the codec's replies to pings and settings: a peer that does not read them is not read from either."""
        self._unread_answers_bytes += size
        if self._unread_answers_bytes > self.limits.unread_answers_bytes and self.reading:
            self.reading = False
            self._transport.pause_reading()

    def to_send(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self.turn += 1
        if self.paused or self._leaving:
            return
        data = self.codec.pending()
        if data:
            self._transport.write(data)
        for call in self.codec.sent():
            call.writable()

    # ----- requests: the codec's sink -----

    def new_stream(self) -> Call:
        return Call(self)

    def opened(self, stream: Call, head: Head, ended: bool) -> None:
        self.calls.add(stream)
        oversized = stream.id in self._meter.oversized
        self._meter.oversized.discard(stream.id)
        try:
            refused = self._accept(stream, head, oversized)
        except Refused as refusal:
            stream.end(refusal.code, refusal.message, refusal.trailing)
            return
        except MalformedMetadata as malformed:
            stream.end(Status.INTERNAL, str(malformed))
            return
        if refused is not None:
            stream.refuse_http(*refused)
        elif ended:
            self.arrived(stream, b"", True)

    def _accept(self, call: Call, head: Head, oversized: bool) -> tuple[int, list[tuple[str, bytes]]] | None:
        """Returns an HTTP status and headers for a request that is not gRPC. Raises Refused, MalformedMetadata."""
        if head.method != "POST":
            return 405, [("allow", b"POST")]
        metadata = read(head.headers)
        own = metadata.own
        if own.get(b"content-type", b"").partition(b";")[0].strip() not in _CONTENT_TYPES:
            return 415, [("accept", b"application/grpc, application/grpc+proto")]
        limit = self.limits.metadata_bytes
        if oversized or metadata.size > limit:
            raise Refused(Status.RESOURCE_EXHAUSTED, f"The metadata is too large; at most {limit} bytes are read.")
        if own.get(b"te") != b"trailers":
            raise Refused(
                Status.INTERNAL,
                '"te: trailers" is missing. A proxy between you and the gateway does not forward trailers.',
            )
        method = self._method(head.path)
        encoding = own.get(b"grpc-encoding", b"identity")
        if encoding not in (b"identity", b"gzip"):
            raise Refused(
                Status.UNIMPLEMENTED,
                "This server only reads messages that are uncompressed or compressed with gzip (grpc-encoding).",
            )
        timeout = own.get(b"grpc-timeout")
        limit_s = None if timeout is None else timeout_s(timeout)
        call.accept(method, metadata.callers, limit_s, encoding == b"gzip", self.loop.time())
        return None

    def _method(self, path: str | None) -> Method:
        method = self.server.methods.find(path or "")
        if method is not None:
            return method
        service = (path or "").rpartition("/")[0][1:]
        if service in self.server.methods.services:
            raise Refused(Status.UNIMPLEMENTED, "This service has no such method.")
        raise Refused(Status.UNIMPLEMENTED, "There is no such service.")

    def arrived(self, stream: Call, data: bytes, ended: bool) -> None:
        size = len(data)
        if stream.ended:
            if size:
                self.codec.release(stream.id, size)
            return
        stream.received_at = self.loop.time()
        if stream.method is not None and stream.method.takes_stream:  # released once the handler has taken it
            stream.arrived(data, ended)
            return
        try:
            self._hold(stream, size, ended)
            stream.arrived(data, ended)
        except Refused as refusal:
            stream.end(refusal.code, refusal.message, refusal.trailing)
        if size:
            self.codec.release(stream.id, size)

    def _hold(self, call: Call, size: int, ended: bool) -> None:
        """Accounts for the memory of an unfinished request. Raises Refused if the process has no room for it."""
        if ended:
            self.server.unfinished_bytes -= call.held_bytes
            call.held_bytes = 0
            return
        self.server.unfinished_bytes += size
        call.held_bytes += size
        if self.server.unfinished_bytes > self.limits.unfinished_bytes:
            raise Refused(Status.UNAVAILABLE, "The gateway holds too many unfinished requests. Try again later.")

    def stopped(self, stream: Call) -> None:
        stream.stopped()

    def writable(self, stream: Call) -> None:
        stream.writable()

    def closed(self, call: Call) -> None:
        """The call has ended, for whatever reason."""
        self.calls.discard(call)
        self.server.unfinished_bytes -= call.held_bytes
        call.held_bytes = 0
        self._busy_at = self.loop.time()

    # ----- the end -----

    def drain(self) -> None:
        """Lets running calls finish, then closes the connection. Calls that the peer starts before it has seen this
        are served."""
        if not self.codec.settled:  # the peer has not sent anything yet
            self._leave(self.limits.fault_linger_s)
        elif self._drain_began_at is None and not self._leaving:
            self._drain_began_at = self.loop.time()
            self.codec.drain()

    def finished(self) -> None:
        """Called by the codec when the last stream of a draining connection has ended."""
        self.loop.call_soon(self._leave, self.limits.linger_s)

    def _leave(self, linger_s: float) -> None:
        """Sends what is pending and our end of file, then waits for the peer's, which arrives once it has received
        everything. Input is ignored until then. If the socket were closed now, any input would be answered with
        a reset, and the peer's kernel would discard what it has not delivered yet."""
        if self._leaving:
            return
        self._leaving = True
        if not self._transport.is_closing():
            self._transport.write(self.codec.pending())
            self._transport.write_eof()
            self._lingering = self.loop.call_later(linger_s, self.abort)

    def _fault(self, why: str) -> None:
        self.codec.lost()
        self._leave(self.limits.fault_linger_s)

    def _lost(self) -> None:
        self._leaving = True
        self.deadlines.stop()
        self.codec.lost()

    def abort(self) -> None:
        self._lost()
        self._transport.abort()

    # ----- clocks -----

    def tick(self, now: float) -> None:
        """Called every `tick_s`: ends whatever has waited too long."""
        limits = self.limits
        if self._leaving:
            return
        if not self.codec.settled:
            if now - self._made_at > limits.preface_s:
                self.abort()
            return
        for call in tuple(self.calls):
            self._tick_call(call, now)
        if self._drain_began_at is None:
            idle = not self.calls and now - self._busy_at > limits.idle_s
            if idle or (self._go_at is not None and now >= self._go_at):
                self.drain()
        elif not self.calls and now - max(self._drain_began_at, self._busy_at) > limits.goaway_s:
            self._leave(limits.linger_s)

    def _tick_call(self, call: Call, now: float) -> None:
        if not call.requested and now - call.received_at > self.limits.body_stall_s:
            call.end(Status.CANCELLED, f"Nothing of the request arrived for {self.limits.body_stall_s:g} s.")
            call.cancel()  # for a streamed request, the handler waits
        elif call.blocked_since is not None and now - call.blocked_since > self.limits.write_stall_s:
            call.stall()


def connection_for(server: Server, listener: Listener) -> Any:
    """Returns a protocol factory."""
    return lambda: Connection(server, listener)

"""One connection to a provider. It carries one exchange at a time: a request goes out, an answer comes in."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Awaitable
from typing import cast

from sidecar.upstream.arrival import Arrival
from sidecar.upstream.failures import BodyBroken, ConnectionLost, Failure
from sidecar.upstream.gathering import Gathering, Rest
from sidecar.upstream.head import Head
from sidecar.upstream.outgoing import Outgoing
from sidecar.upstream.parser import Parser

# Bytes that may be buffered before the socket is paused.
_UNREAD_BYTES_MAX = 64 * 1024
# One turn of the loop may bring 256 KiB. At most this much is parsed before other calls get their turn; it bounds
# the smallest chunks, which cost the most per byte.
_PARSE_BYTES_MAX = 64 * 1024
_PARSE_BYTES_DENSE = 8 * 1024
_DENSE_PARTS = 1024


class Connection(asyncio.Protocol):
    """`closed` once nothing can be sent any more. `opened_s` and `idle_since_s` are event loop times."""

    __slots__ = (
        *("_arrival", "_backlog", "_backlog_at", "_failure", "_held_s", "_loop", "_outgoing"),
        *("_parse_bytes", "_paused", "_poller", "_reset", "_transport", "_unread"),
        *("busy", "calls", "closed", "idle_s", "idle_since_s", "opened_s", "parser", "resting"),
    )

    def __init__(self, gathering: Gathering) -> None:
        self._loop = asyncio.get_running_loop()
        self.resting = Rest(gathering, self._rested)
        self.parser = Parser()
        self._transport: asyncio.Transport | None = None
        self._arrival = Arrival(self._loop)
        self._failure: Failure | None = None
        self._reset: Exception | None = None
        self._outgoing = Outgoing()
        self._paused = False
        self._held_s = 0.0  # while waiting for the head, apart from the last wait
        self._unread = 0  # bytes received since the last read
        self._backlog = b""  # received at once, but too much to parse at once
        self._backlog_at = 0
        self._parse_bytes = _PARSE_BYTES_MAX
        self._poller: select.poll | None = None
        self.busy = False
        self.closed = False
        self.calls = 0
        self.opened_s = self._loop.time()
        self.idle_since_s = self.opened_s
        self.idle_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def watch(self, sock: socket.socket) -> None:
        """`sock` is the socket below the transport."""
        self.resting.sock = sock
        self._poller = select.poll()
        self._poller.register(sock.fileno(), select.POLLIN)

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Starts TLS, for `host` if this is a tunnel through a proxy. Raises SSLError, OSError."""
        if self._transport is None or self.closed:
            raise ConnectionResetError("It was closed before the handshake.")
        transport = await self._loop.start_tls(self._transport, self, context, server_hostname=host)
        if transport is None or self.closed:
            raise ConnectionResetError("It was closed in the handshake.")
        self._transport = transport
        self.resting.sock = None

    # ----- a request -----

    async def send(self, head: bytes, body: bytes, until_s: float | None = None, *, bodiless: bool = False) -> Head:
        """Sends a request and waits for the head of its answer. `bodiless`: answers to this method have no body.

        Raises ConnectionLost, BadHead, HeadTooLarge, TooManyInformational; TimeoutError at `until_s`, in event loop
        time. Call `abort` after an error or a cancellation.
        """
        assert not self.busy
        self.busy = True
        self.calls += 1
        self._held_s = 0.0
        parser = self.parser
        parser.start(bodiless=bodiless)
        transport = self._transport
        if self.closed or transport is None or transport.is_closing():
            raise ConnectionLost("It was closed before the request.")
        self._outgoing.begin(transport, head, body)
        while (answer := parser.head) is None:
            await self._more(until_s)
            if until_s is not None and parser.head is None:
                held_s = self._arrival.held_s()
                self._held_s += held_s
                until_s += held_s
        if answer.status >= 300:  # the rest of a refused request would not be read
            self._outgoing.stop()
        return answer

    def pause_writing(self) -> None:
        self._outgoing.paused()

    def resume_writing(self) -> None:
        self._outgoing.resumed(self._transport)

    @property
    def surplus(self) -> bool:
        """Whether anything followed the answer."""
        return self.parser.surplus or bool(self._backlog)

    @property
    def reusable(self) -> bool:
        """Whether the exchange left the connection in a state in which it can be reused."""
        parser = self.parser
        transport = self._transport
        return (
            parser.ended
            and not self.surplus
            and parser.head is not None
            and parser.head.reusable
            and not self.closed
            and self._outgoing.whole
            and transport is not None
            and transport.get_write_buffer_size() == 0
        )

    def held_s(self) -> float:
        """Seconds for which the event loop was blocked while waiting for the head. Only valid right after `send`."""
        return self._held_s + self._arrival.held_s()

    async def read(self, until_s: float | None = None) -> bytes:
        """Returns body bytes as soon as there are any; b"" at its end. Cancelling loses nothing.

        Raises GatewayError for a broken body, after everything before the fault was read; TimeoutError if nothing
        arrives by `until_s`, in event loop time.
        """
        parser = self.parser
        parts = parser.parts
        try:
            while not parts:
                if parser.ended:
                    return b""
                await self._more(until_s)
        except Failure as failure:
            raise failure.shown() from failure
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._unread = 0
        if self._paused and not self._backlog:
            self._resume()
        return data

    def _more(self, until_s: float | None) -> Awaitable[None]:
        """Nothing is buffered: parses further, or waits for input. Raises the reason if none will come."""
        if self._backlog or self._failure is not None or self._paused:
            return self._go_on(until_s)
        return self._arrival.expected(until_s)

    async def _go_on(self, until_s: float | None) -> None:
        if self._backlog:
            await asyncio.sleep(0)
            self._parse_on()
            return
        if self._failure is not None:
            raise self._failure
        if self._paused:
            self._unread = 0
            self._resume()
        await self._arrival.expected(until_s)

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if not self.resting.now and self._transport is not None and not self._transport.is_closing():
            self.resting.still = False
            self._transport.resume_reading()

    def _rested(self) -> None:
        """Reads what arrived during the rest, bypassing the transport: it would make the kernel watch the socket."""
        if self._paused or self._transport is None or self._transport.is_closing():
            return
        try:
            if data := self.resting.take():
                self.data_received(data)
        except OSError as error:
            self._end(error)
            self.abort()
        if not self._paused:
            self._resume()

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            self.abort()  # unsolicited data
            return
        if self._backlog:  # TLS had decrypted more before it was paused
            data = self._backlog[self._backlog_at :] + data
            self._backlog, self._backlog_at = data, 0
        elif len(data) > self._parse_bytes:
            self._backlog, self._backlog_at = data, 0
            self._pause()
            self._parse_on()
        else:
            self._parse(data)
            goes_on = not (self._paused or self.parser.ended or self._transport is None)
            resting = self.resting
            if resting.on and goes_on and resting.begins(len(data), self._loop.time()) and not resting.still:
                resting.still = True
                cast(asyncio.Transport, self._transport).pause_reading()

    def _parse_on(self) -> None:
        at = self._backlog_at
        data = self._backlog
        self._backlog_at = end = at + self._parse_bytes
        if end >= len(data):
            self._backlog = b""
        self._parse(data[at:end])
        if self.closed and not self._backlog:
            self._end(None)

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed(data)
        except Failure as failure:
            self._fail(failure)
            return
        self._parse_bytes = _PARSE_BYTES_MAX if len(self.parser.parts) < _DENSE_PARTS else _PARSE_BYTES_DENSE
        self._unread += len(data)
        if self._unread > _UNREAD_BYTES_MAX:
            self._pause()
        self._arrival.here()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._transport = None
        self._end(exc)

    def _end(self, exc: Exception | None) -> None:
        """The provider will not send anything else. If the answer lasts as long as the connection, a reset does not
        end it properly."""
        self.closed = True
        self._outgoing.stop()
        self._reset = self._reset or exc
        if self.busy and self._failure is None and not self.parser.ended and not self._backlog:
            try:
                if self._reset is not None and self.parser.head is not None:
                    raise BodyBroken("The connection was reset.")
                self.parser.end_of_input()
            except Failure as failure:
                failure.__cause__ = self._reset
                self._failure = failure
        self._arrival.here()

    def _fail(self, failure: Failure) -> None:
        self._failure = failure
        self._backlog = b""
        self.abort()
        self._arrival.here()

    # ----- the time between two -----

    def rest(self, now_s: float) -> None:
        """Keeps the connection after an exchange; `reusable` must be true."""
        self.busy = False
        self.idle_since_s = now_s
        head = self.parser.head
        self.idle_s = float("inf") if head is None or head.keep_alive_s is None else max(0.0, head.keep_alive_s - 1.0)
        self.parser.start()
        self.parser.parts.clear()
        self._unread = 0
        if self.resting.stop() or self._paused:
            self._resume()

    def is_quiet(self) -> bool:
        """Whether the kernel has seen neither data nor an end from the provider; the event loop may lag behind."""
        if self.closed or self._poller is None or self._transport is None or self._transport.is_closing():
            return False
        return not self._poller.poll(0)

    def abort(self) -> None:
        """Closes the socket within this turn of the loop. Input is dropped."""
        self.closed = True
        self._outgoing.stop()
        self._arrival.stop()
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

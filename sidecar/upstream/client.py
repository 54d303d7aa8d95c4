"""Calls to providers: one request, one answer, and one resend if a kept-alive connection turned out to be closed.

Redirects are not followed (a key must not travel to another host), proxies of the environment are ignored, and
cookies are not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from adapters import GatewayError, Headers, HttpCall, Kind
from sidecar.domain.snapshot import Timeouts, Upstream
from sidecar.upstream.address import endpoint_of
from sidecar.upstream.coding import Decoder
from sidecar.upstream.connection import Connection
from sidecar.upstream.dial import Dialer, Place, proxy_refusal
from sidecar.upstream.failures import ConnectionLost, ConnectTimedOut, Failure
from sidecar.upstream.head import Head
from sidecar.upstream.pool import Pool
from sidecar.upstream.proxy import proxy_headers
from sidecar.upstream.request import request_head, request_start
from sidecar.upstream.time_limit import TimeLimit, held_time

# A connection that was closed before we wrote fails within a round trip. If it fails later, the provider has read
# the request and may have worked on it: a failure like any other.
_STALE_S = 1.0
# RFC 9110 section 15.5.8: this status comes from a proxy, never from the provider.
_PROXY_WANTS_CREDENTIALS = 407
# Connections' parameters for some hundred routes. Beyond this, the cache is cleared.
_TARGETS_MAX = 1024
# How long to wait for the end of a body after its last event, so that the connection can be reused.
_TAIL_S = 0.1
_UNCODED = ("", "identity")


class UpstreamResponse:
    """An answer whose head has arrived. The caller must `close()` it."""

    __slots__ = ("_connection", "_decoder", "_drained", "_head", "_held_s", "_place", "_pool", "_read", "status")

    def __init__(self, head: Head, connection: Connection, place: Place, pool: Pool, held_s: float) -> None:
        self.status = head.status
        self._head = head
        self._connection: Connection | None = connection
        self._place = place
        self._pool = pool
        self._held_s = held_s
        self._decoder: Decoder | None = None
        self._drained = False
        self._read = connection.read if head.coding in _UNCODED else self._decoded

    @property
    def headers(self) -> Headers:
        """Header values by lower-case name; the last one of a repeated header."""
        return self._head.headers()

    @property
    def ended(self) -> bool:
        """Whether the whole body has been read."""
        return self._drained or (
            self._decoder is None and self._connection is not None and self._connection.parser.taken
        )

    def read_some(self, until_s: float | None = None) -> Awaitable[bytes]:
        """Returns the next bytes of the body, decompressed; b"" at its end. Cancelling loses nothing.

        Raises GatewayError: upstream_interrupted if the body breaks off, upstream_protocol if it cannot be
        decompressed. Raises TimeoutError if nothing arrives by `until_s`, in event loop time; reading may be tried
        again.
        """
        return self._read(until_s)

    def held_s(self) -> float:
        """Seconds for which the event loop was blocked while waiting for the head, by which a limit should be
        extended. Only valid right after opening."""
        return self._held_s if self._connection is None else self._held_s + self._connection.held_s()

    def take_whole(self) -> bytes | None:
        """Returns the whole body if it has arrived, is not compressed and has not been read; otherwise None."""
        if self._connection is None or self._head.coding not in _UNCODED:
            return None
        return self._connection.parser.take_whole()

    async def _decoded(self, until_s: float | None) -> bytes:
        connection = self._connection
        assert connection is not None
        try:
            decoder = self._decoder = self._decoder or Decoder(self._head.coding)
            while True:
                if decoder.waiting:
                    await asyncio.sleep(0)  # decompress in bounded steps
                if data := decoder.take():
                    return data
                if until_s is not None and asyncio.get_running_loop().time() >= until_s:
                    raise TimeoutError  # input may go on forever without giving output
                more = await connection.read(until_s)
                if not more:
                    decoder.finish()
                    self._drained = True
                    return b""
                decoder.feed(more)
        except Failure as failure:
            raise failure.shown() from failure

    def gather(self) -> None:
        """From now on, pieces in quick succession may be read together, since no caller is waiting for the first
        one any more."""
        if self._connection is not None:
            self._connection.resting.on = True

    async def finish(self) -> None:
        """Waits briefly for the end of the body, so that the connection can return to the pool."""
        if not self.ended:
            try:
                async with asyncio.timeout(_TAIL_S):
                    while await self.read_some():
                        pass
            except (TimeoutError, GatewayError):
                return

    def close(self) -> None:
        """Returns the connection to the pool if the body is complete, else closes the socket at once."""
        connection = self._connection
        if connection is None:
            return
        self._connection = None
        self._read = _nothing  # the connection may be used by another call from now on
        self._drained = True
        if connection.parser.ended:
            self._pool.give(self._place, connection)
        else:
            self._pool.drop(connection)


async def _nothing(until_s: float | None) -> bytes:
    return b""


class UpstreamClient:
    """The connections to providers. They are not part of the config: a reload keeps them."""

    def __init__(self, dialer: Dialer | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.now_s = self._loop.time  # the clock of all times in this module
        self._held = held_time(self._loop)
        self._pool = Pool(dialer or Dialer())
        self._targets: dict[tuple[object, ...], tuple[Place, bytes]] = {}

    async def open(
        self,
        call: HttpCall,
        upstream: Upstream,
        headers: tuple[tuple[str, str], ...],
        timeouts: Timeouts,
        on_resend: Callable[[], None] | None = None,
        *,
        fresh: bool = False,
        until_s: float | None = None,
    ) -> UpstreamResponse:
        """Sends the call and waits for the head of the answer.

        `on_resend` is called if the request is sent again on a fresh connection because a kept-alive one was closed.
        `fresh` uses a fresh connection from the start. `until_s` is when the head is due, in event loop time; None
        if the caller bounds the wait.

        Raises GatewayError: upstream_unavailable (no connection, TLS refused, connection lost), upstream_timeout (no
        connection within connect_s), upstream_protocol (not HTTP). Raises TimeoutError at `until_s`.
        """
        try:
            key = (
                call.url,
                call.method,
                call.headers,
                headers,
                upstream.proxy,
                upstream.ca_file,
                upstream.client_certificate,
            )
            place, start = self._targets.get(key) or self._target(key, call, upstream, headers)
            request = request_head(start, len(call.body))
            kept = None if fresh else self._pool.take(place)
            if kept is not None:
                began_s = self.now_s()
                try:
                    return await self._exchange(kept, place, call, request, until_s)
                except ConnectionLost as lost:
                    # The only failure after which it is certain that no answer had started. A provider closes a
                    # connection right away if it had given it up, not after it has started to work.
                    if lost.answered or self.now_s() - began_s > _STALE_S:
                        raise
                if on_resend is not None:
                    on_resend()
            held_s = self._held.total_s(self.now_s())
            made = await self._dial(place, timeouts.connect_s, until_s)
            held_s = self._held.total_s(self.now_s()) - held_s
            return await self._exchange(made, place, call, request, until_s, held_s)
        except Failure as failure:
            raise failure.shown() from failure

    def _target(
        self, key: tuple[object, ...], call: HttpCall, upstream: Upstream, headers: tuple[tuple[str, str], ...]
    ) -> tuple[Place, bytes]:
        """Returns what is constant for such calls: where they go, and the beginning of their head."""
        endpoint = endpoint_of(call.url)
        trust, identity = upstream.ca_file, upstream.client_certificate
        place = Place(endpoint.tls, endpoint.host, endpoint.port, upstream.proxy, trust, identity)
        to_proxy = upstream.proxy is not None and not endpoint.tls
        if to_proxy:
            headers = (*headers, *proxy_headers(upstream.proxy or ""))
        start = request_start(call.method, endpoint, (*call.headers, *headers), to_proxy=to_proxy)
        if len(self._targets) >= _TARGETS_MAX:
            self._targets.clear()
        self._targets[key] = found = (place, start)
        return found

    async def _dial(self, place: Place, connect_s: float, until_s: float | None) -> Connection:
        connect_by_s = self.now_s() + connect_s
        head_is_due_first = until_s is not None and until_s < connect_by_s
        try:
            async with TimeLimit(until_s if until_s is not None and head_is_due_first else connect_by_s):
                return await self._pool.dial(place)
        except TimeoutError as error:
            if head_is_due_first:
                raise
            raise ConnectTimedOut(f"No connection within {connect_s:g} s.") from error

    async def _exchange(
        self,
        connection: Connection,
        place: Place,
        call: HttpCall,
        request: bytes,
        until_s: float | None,
        held_s: float = 0.0,
    ) -> UpstreamResponse:
        """`held_s`: seconds for which the event loop was blocked while connecting."""
        if until_s is not None:
            until_s += held_s
        try:
            head = await connection.send(request, call.body, until_s, bodiless=call.method == "HEAD")
            if head.status == _PROXY_WANTS_CREDENTIALS and place.proxy is not None and not place.tls:
                raise proxy_refusal(head.status)
        except BaseException:
            self._pool.drop(connection)
            raise
        return UpstreamResponse(head, connection, place, self._pool, held_s)

    async def close(self) -> None:
        await self._pool.close()


def read_failure(error: Exception) -> GatewayError:
    """Converts the reason why a body could not be read to its end."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, TimeoutError):
        return GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider was silent for too long.")
    return GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's answer cannot be read.")

"""Calls to providers: one request, one answer, and once more where a kept connection had ended.

Redirects are not followed (a key must not travel to another host), environment proxies are ignored, cookies are not kept.
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

# A connection that had ended before we wrote tells so within a round trip. After longer than this the provider has read the
# request and may have worked on it: that is a failure like any other.
_STALE_S = 1.0
# RFC 9110 section 15.5.8: a proxy's word, whoever is behind it.
_PROXY_WANTS_CREDENTIALS = 407
# What leads to the providers of some hundred routes. Beyond it the cache begins again.
_TARGETS_MAX = 1024
# How long to wait for the end of a body whose last event was seen, so that the connection can be used again.
_TAIL_S = 0.1
_UNCODED = ("", "identity")


class UpstreamResponse:
    """An answer whose head is here. Whoever opened it must `close()` it."""

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
        """Names in lower case; of a repeated header the last one."""
        return self._head.headers()

    @property
    def ended(self) -> bool:
        """Whether all of the body has been read."""
        return self._drained or (
            self._decoder is None and self._connection is not None and self._connection.parser.taken
        )

    def read_some(self, until_s: float | None = None) -> Awaitable[bytes]:
        """The next bytes of the body, decompressed; b"" at its end. Cancelling loses nothing.

        Raises GatewayError: upstream_interrupted where it breaks off, upstream_protocol where it cannot be decompressed.
        Raises TimeoutError if nothing comes until `until_s` on the loop's clock; then it may be asked again.
        """
        return self._read(until_s)

    def held_s(self) -> float:
        """How long the loop was held while the head was waited for: a limit moves on by so much. To be asked at once."""
        return self._held_s if self._connection is None else self._held_s + self._connection.held_s()

    def take_whole(self) -> bytes | None:
        """The body, where all of it is here already, not compressed and not read; else None: `read_some` has it."""
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
                    await asyncio.sleep(0)  # a bomb goes off a step at a time
                if data := decoder.take():
                    return data
                if until_s is not None and asyncio.get_running_loop().time() >= until_s:
                    raise TimeoutError  # input that gives nothing may come without end
                more = await connection.read(until_s)
                if not more:
                    decoder.finish()
                    self._drained = True
                    return b""
                decoder.feed(more)
        except Failure as failure:
            raise failure.shown() from failure

    def gather(self) -> None:
        """From now on, what comes in quick succession may be read together: nobody waits for the first of it any more."""
        if self._connection is not None:
            self._connection.resting.on = True

    async def finish(self) -> None:
        """Waits a moment for the end of the body, so that the connection goes back to the pool."""
        if not self.ended:
            try:
                async with asyncio.timeout(_TAIL_S):
                    while await self.read_some():
                        pass
            except (TimeoutError, GatewayError):
                return

    def close(self) -> None:
        """Gives the connection back if all of the body has come, else closes the socket at once."""
        connection = self._connection
        if connection is None:
            return
        self._connection = None
        self._read = _nothing  # the connection may be another call's from now on
        self._drained = True
        if connection.parser.ended:
            self._pool.give(self._place, connection)
        else:
            self._pool.drop(connection)


async def _nothing(until_s: float | None) -> bytes:
    return b""


class UpstreamClient:
    """Connections to providers. Not config: a reload keeps them."""

    def __init__(self, dialer: Dialer | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.now_s = self._loop.time  # the clock of all times here
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
        """Sends the call and waits for the answer's head. `on_resend` is called when it goes out once more, on a fresh connection
        because a kept one had ended. `fresh`: on a fresh one from the start. `until_s` is when the head must be here, on the
        loop's clock; None: the caller bounds the wait.

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
                    # The only failure after which it is known that nothing of an answer had come; and the provider closes a
                    # connection at once that it had given up, not after it has begun to work.
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
        """Where such calls go, and what of their head is always the same."""
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
            raise ConnectTimedOut(f"Not within {connect_s:g} s.") from error

    async def _exchange(
        self,
        connection: Connection,
        place: Place,
        call: HttpCall,
        request: bytes,
        until_s: float | None,
        held_s: float = 0.0,
    ) -> UpstreamResponse:
        """`held_s`: how long the loop was held while the connection was made."""
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
    """Why a body could not be read to its end."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, TimeoutError):
        return GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider was silent for too long.")
    return GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's answer cannot be read.")

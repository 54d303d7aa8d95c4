"""HTTP to providers: the only file that talks to them.

aiohttp, because it costs 0.07 ms of CPU a call and closes its socket when a call is cancelled (decision 0003). Redirects are
not followed (a key must not travel to another host), environment proxies are ignored, cookies are not kept.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from aiohttp import hdrs

from adapters import GatewayError, Headers, HttpCall, Kind
from sidecar.domain.snapshot import Timeouts, Upstream

# Idle connections are dropped before the shortest common server keep-alive (Node's 5 s is handled by the retry below;
# nginx keeps 75 s, cloud balancers 60 s).
_KEEPALIVE_S = 30.0
_DNS_TTL_S = 30
# Response heads: OpenAI sends 2 KiB, Azure up to 6.
_HEADER_BYTES_MAX = 16 * 1024
# A connection that had ended before we wrote tells so within a round trip. After longer than this the provider has read the
# request and may have worked on it: that is a failure like any other.
_STALE_S = 1.0
# How long to wait for the end of a body whose last event was seen, so that the connection can be used again.
_TAIL_S = 0.1


@dataclass(slots=True)
class UpstreamResponse:
    """An answer whose head is here. Whoever opened it must `close()` it."""

    status: int
    headers: Headers
    _response: aiohttp.ClientResponse

    @property
    def ended(self) -> bool:
        """Whether all of the body has been read."""
        return self._response.content.at_eof()

    async def read_some(self) -> bytes:
        """The next bytes of the body, decompressed; b"" at its end. Cancelling loses nothing."""
        content = self._response.content
        data = _arrived(content)
        while not data and not content.at_eof():
            data = await content.readany()
        return data

    async def finish(self) -> None:
        """Waits a moment for the end of the body, so that the connection goes back to the pool."""
        content = self._response.content
        if not content.at_eof():
            try:
                async with asyncio.timeout(_TAIL_S):
                    while await self.read_some():
                        pass
            except (TimeoutError, aiohttp.ClientError):
                return

    def close(self) -> None:
        """Gives the connection back if the body was read to its end, else closes the socket at once."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


def _arrived(content: aiohttp.StreamReader) -> bytes:
    """What is here. Where the connection broke after it, aiohttp 3.14 would raise at once and lose it: perhaps the last
    event of a provider that closes without the end of its framing. The failure is told by the next read instead."""
    failure = content.exception()
    if failure is None:
        return content.read_nowait(-1)
    content.set_exception(None)  # type: ignore[arg-type]
    try:
        return content.read_nowait(-1)
    finally:
        content.set_exception(failure)


class UpstreamClient:
    """Connection pools to providers: one for each CA bundle as it stood when first used. Not config: a reload keeps them."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str | None, int, bool], aiohttp.ClientSession] = {}
        self._timeouts: dict[float, aiohttp.ClientTimeout] = {}

    async def open(
        self,
        call: HttpCall,
        upstream: Upstream,
        headers: tuple[tuple[str, str], ...],
        timeouts: Timeouts,
        sent_anew: Callable[[], None] | None = None,
        *,
        fresh: bool = False,
    ) -> UpstreamResponse:
        """Sends the call and waits for the answer's head. `sent_anew` is called when it goes out once more, on a fresh connection
        because a kept one had ended. `fresh`: on a fresh one from the start.

        Raises GatewayError: upstream_unavailable (no connection, TLS refused, connection lost), upstream_timeout (no
        connection within connect_s), upstream_protocol (not HTTP). The caller bounds the wait for the answer itself.
        """
        trace = SimpleNamespace(reused=False)
        began_s = asyncio.get_running_loop().time()
        try:
            try:
                return await self._send(call, upstream, headers, timeouts, trace, fresh=fresh)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A kept connection that the server had closed meanwhile, seen before any byte of an answer.
                if not trace.reused or asyncio.get_running_loop().time() - began_s > _STALE_S:
                    raise
                if sent_anew is not None:
                    sent_anew()
                return await self._send(call, upstream, headers, timeouts, trace, fresh=True)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _failure(error) from error

    async def _send(
        self,
        call: HttpCall,
        upstream: Upstream,
        headers: tuple[tuple[str, str], ...],
        timeouts: Timeouts,
        trace: SimpleNamespace,
        *,
        fresh: bool,
    ) -> UpstreamResponse:
        response = await self._session(upstream.ca_file, fresh=fresh).request(
            call.method,
            call.url,
            data=call.body,
            headers=(*call.headers, *headers),
            proxy=upstream.proxy,
            allow_redirects=False,
            timeout=self._timeout(timeouts.connect_s),
            trace_request_ctx=trace,
        )
        return UpstreamResponse(response.status, {k.lower(): v for k, v in response.headers.items()}, response)

    def _timeout(self, connect_s: float) -> aiohttp.ClientTimeout:
        found = self._timeouts.get(connect_s)
        if found is None:
            found = self._timeouts[connect_s] = aiohttp.ClientTimeout(total=None, connect=connect_s)
        return found

    def _session(self, ca_file: str | None, *, fresh: bool) -> aiohttp.ClientSession:
        # A renewed bundle at the same path is another trust: connections made under the old one are not used for it.
        changed_ns = os.stat(ca_file).st_mtime_ns if ca_file else 0
        found = self._sessions.get((ca_file, changed_ns, fresh))
        if found is None:
            found = self._sessions[ca_file, changed_ns, fresh] = _make_session(ca_file, fresh=fresh)
        return found

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()


def _make_session(ca_file: str | None, *, fresh: bool) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # admission bounds the number of calls, not the pool
        keepalive_timeout=None if fresh else _KEEPALIVE_S,
        force_close=fresh,
        ttl_dns_cache=_DNS_TTL_S,
        ssl=ssl.create_default_context(cafile=ca_file) if ca_file else True,
    )
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        # identity: an answer is mostly passed on as it is; a provider that compresses all the same is understood
        headers={hdrs.ACCEPT_ENCODING: "identity", hdrs.USER_AGENT: "llm-gateway-sidecar"},
        max_line_size=_HEADER_BYTES_MAX,
        max_field_size=_HEADER_BYTES_MAX,
        trace_configs=[trace],
    )


async def _note_reuse(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.reused = True


def _failure(error: Exception) -> GatewayError:
    """Why no answer came, in words without addresses: the operator's log has the rest."""
    match error:
        case aiohttp.ConnectionTimeoutError() | TimeoutError():
            return GatewayError(Kind.UPSTREAM_TIMEOUT, "No connection to the provider in time.")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError() | aiohttp.ClientSSLError():
            return GatewayError(Kind.UPSTREAM_UNAVAILABLE, "The provider's TLS certificate or handshake was refused.")
        case aiohttp.ClientConnectorError():
            return GatewayError(Kind.UPSTREAM_UNAVAILABLE, "No connection to the provider.")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return GatewayError(Kind.UPSTREAM_UNAVAILABLE, "The provider closed the connection without an answer.")
        case aiohttp.ClientPayloadError():
            return GatewayError(Kind.UPSTREAM_INTERRUPTED, "The provider's answer broke off.")
        case _:
            return GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's answer is not HTTP.")


def read_failure(error: Exception) -> GatewayError:
    """Why a body could not be read to its end."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, TimeoutError):
        return GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider was silent for too long.")
    return _failure(error)

"""Callers that leave: each way in, each moment, with nothing between the test and the socket that would soften it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.errors
import h2.events

_READ_BYTES = 65536
_PATH = "/v1/chat/completions"


class RawRest:
    """One REST call over a TLS connection of its own, HTTP/1.1 or HTTP/2. `leave` closes it or resets its stream."""

    def __init__(self, env: Mapping[str, str], *, version: int, reset: bool = False) -> None:
        self._env = env
        self._version = version
        self._reset = reset
        self._h2: h2.connection.H2Connection | None = None

    async def ask(self, body: dict[str, Any]) -> None:
        """Sends the request; returns when it is written."""
        url = urlsplit(self._env["SIDECAR_URL"])
        trust = ssl.create_default_context(cafile=self._env["SIDECAR_CA"])
        trust.set_alpn_protocols(["h2" if self._version == 2 else "http/1.1"])
        self._reader, self._writer = await asyncio.open_connection(url.hostname, url.port, ssl=trust)
        data, key = json.dumps(body).encode(), self._env["SIDECAR_API_KEY"]
        fields = [
            ("content-type", "application/json"),
            ("authorization", f"Bearer {key}"),
            ("content-length", str(len(data))),
        ]
        if self._version == 1:
            lines = [f"POST {_PATH} HTTP/1.1", f"host: {url.netloc}", *(f"{name}: {value}" for name, value in fields)]
            self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + data)
        else:
            self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
            self._h2.initiate_connection()
            pseudo = [(":method", "POST"), (":path", _PATH), (":scheme", "https"), (":authority", url.netloc)]
            self._h2.send_headers(1, [*pseudo, *fields])
            self._h2.send_data(1, data, end_stream=True)
            self._writer.write(self._h2.data_to_send())
        await self._writer.drain()

    async def first_event(self) -> None:
        """Returns once a server-sent event is here."""
        seen = b""
        while b"data: " not in seen:
            data = await self._reader.read(_READ_BYTES)
            assert data, "the gateway closed the connection"
            if self._h2 is None:
                seen += data
                continue
            for event in self._h2.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    seen += event.data or b""
            self._writer.write(self._h2.data_to_send())

    async def leave(self) -> None:
        """Goes away in mid-call."""
        if self._h2 is not None and self._reset:
            self._h2.reset_stream(1, h2.errors.ErrorCodes.CANCEL)
            self._writer.write(self._h2.data_to_send())
            await self._writer.drain()
        else:
            self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.transport.abort()
        try:
            await self._writer.wait_closed()
        except OSError:  # the gateway may have been first
            return


class TypedCall:
    """One call over local gRPC or through the front, left by cancelling it."""

    def __init__(self, stub: Any, metadata: Any) -> None:
        self._stub = stub
        self._metadata = metadata

    async def ask(self, request: Any, *, stream: bool) -> None:
        """Begins the call: it goes out when the loop runs next."""
        method = self._stub.StreamChat if stream else self._stub.Chat
        self._call = method(request, metadata=self._metadata)

    async def first_event(self) -> None:
        assert await self._call.read()

    async def leave(self) -> None:
        self._call.cancel()

    async def close(self) -> None:
        self._call.cancel()

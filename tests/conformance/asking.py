"""One case to one front: what the client got and what the core saw, without what may differ from one call to the next."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.conformance.cases import Case
from tests.front.conftest import Front
from tests.front.double import Call, Core

ANSWER_S = 30.0
# Of the connection or the moment, not of the answer.
HEADERS_IGNORED = frozenset({"date", "connection", "keep-alive", "transfer-encoding", "content-length"})
METADATA_IGNORED = frozenset({"te", "grpc-accept-encoding", "grpc-timeout", "accept-encoding"})
MADE, OURS = "made by the front", ("chosen-by-me", "from-the-core")

Seen = dict[str, object]
"""Field -> value. `status` and `body`, `header x`; `rpc`, `request`, `metadata x` of what the core saw; `end`."""


BROKEN_OFF: Seen = {"end": "broken off"}


@dataclass(frozen=True)
class Side:
    """One of the two fronts and its core."""

    front: Front
    core: Core
    clients: dict[int, httpx.AsyncClient]
    """One for each version of HTTP, so that connections are kept and used again."""

    async def ask(self, case: Case, version: int) -> Seen:
        self.core.script = case.script
        self.core.calls.clear()
        seen = await self._raw(case) if case.raw else await self._sent(case, version)
        if (
            seen == BROKEN_OFF and not case.raw
        ):  # a kept connection may have been closed just then; a new one says it again
            self.core.calls.clear()
            seen = await self._sent(case, version)
        assert len(self.core.calls) <= 1, case
        return {**seen, **(_call(self.core.calls[0]) if self.core.calls else {})}

    async def _sent(self, case: Case, version: int) -> Seen:
        credentials = {"basic": self.front.basic, "bearer": self.front.bearer, "none": {}}[case.credentials]
        request = {"headers": {**credentials, **case.headers}, "content": case.body or None}
        http = self.clients[version]
        try:
            answer = await http.request(case.method, case.path, **request)  # type: ignore[arg-type]
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            return BROKEN_OFF
        return {
            "status": answer.status_code,
            "body": _named(answer.content, answer.headers.get("x-request-id", "")),
            **_headers(answer.headers),
        }

    async def _raw(self, case: Case) -> Seen:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.front.port, ssl=self.front.tls(), server_hostname="localhost"
        )
        try:
            async with asyncio.timeout(ANSWER_S):
                writer.write(case.raw)
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                fields = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)
                }
                body = await reader.readexactly(int(fields.get("content-length", 0)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return BROKEN_OFF
        finally:
            writer.transport.abort()
        return {"status": int(lines[0].split()[1]), "body": body, **_headers(fields)}


def _headers(headers: Mapping[str, str]) -> Seen:
    return {f"header {name}": _id(name, value) for name, value in headers.items() if name not in HEADERS_IGNORED}


def _id(name: str, value: str) -> str:
    return MADE if name in ("x-request-id", "request-id") and value not in OURS else value


def _named(body: bytes, request_id: str) -> bytes:
    """Errors in Anthropic's shape repeat the id of the header."""
    return body.replace(f'"request_id":"{request_id}"'.encode(), b'"request_id":""')


def _call(call: Call) -> Seen:
    request: Any = call.request
    metadata = {f"metadata {name}": _id(name, value) for name, value in call.metadata if name not in METADATA_IGNORED}
    return {"rpc": call.rpc, "request": request.SerializeToString(deterministic=True), **metadata}

"""The core's double: a real grpc.aio server on a unix socket that answers what a test scripts, and records what it saw."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sidecar.openapi.bindings import service
from sidecar.v1 import inference_pb2, inference_pb2_grpc, rest_pb2_grpc

BODY_BYTES_MAX = 80 * 1024 * 1024
PIECE_BYTES_MAX = 64 * 1024


@dataclass
class Script:
    """What one call answers: metadata, pieces with a gap before each but the first, then OK or an abort."""

    status: int | None = 200
    content_type: str | None = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    pieces: list[bytes] = field(default_factory=lambda: [b"{}"])
    gap_s: float = 0.0
    wait_s: float = 0.0
    """Before anything is sent."""
    abort: grpc.StatusCode | None = None
    abort_text: str = ""
    hold: bool = False
    """After the pieces, wait until cancelled."""


@dataclass
class Call:
    """What the core saw of one call."""

    rpc: str
    request: Any
    metadata: list[tuple[str, str]]
    time_left_s: float | None
    transport: list[bytes]
    sent_s: list[float] = field(default_factory=list)
    """time.monotonic() of each piece."""
    ended_s: float | None = None
    cancelled: bool = False


class Core:
    """`script` is what the next calls answer; `calls` what came."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script = Script()
        self.calls: list[Call] = []
        self.arrived = asyncio.Event()
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", BODY_BYTES_MAX),
                ("grpc.max_send_message_length", BODY_BYTES_MAX),
                ("grpc.max_metadata_size", 64 * 1024),
                ("grpc.absolute_max_metadata_size", 128 * 1024),
            ]
        )
        rest_pb2_grpc.add_RestServiceServicer_to_server(_Rest(self), self._server)
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(_Inference(self), self._server)
        self.health = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)

    async def start(self, link: Path) -> None:
        """Listens on its own path and swaps `link` to it, as the supervisor does."""
        credentials = grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
        self._server.add_secure_port(f"unix:{self.path}", credentials)
        await self._server.start()
        await self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        fresh = link.with_name(link.name + ".new")
        fresh.symlink_to(self.path.name)
        os.replace(fresh, link)

    async def stop(self, grace_s: float | None = None) -> None:
        await self._server.stop(grace_s)

    @property
    def health_checks(self) -> int:
        """How often somebody asked whether it is well."""
        return self.health.checks

    @property
    def call(self) -> Call:
        """The only call so far."""
        assert len(self.calls) == 1, self.calls
        return self.calls[0]

    def record(self, rpc: str, request: Any, context: Any) -> Call:
        metadata = [(key, value) for key, value in context.invocation_metadata() or ()]
        transport = list(context.auth_context().get("transport_security_type", []))
        call = Call(rpc, request, metadata, context.time_remaining(), transport)
        self.calls.append(call)
        self.arrived.set()
        return call

    async def play(self, rpc: str, request: Any, context: Any) -> AsyncIterator[bytes]:
        """The script's pieces; each is noted when it is handed over."""
        script, call = self.script, self.record(rpc, request, context)
        try:
            if script.wait_s:
                await asyncio.sleep(script.wait_s)
            headers = list(script.headers)
            if script.status is not None:
                headers.append(("x-http-status", str(script.status)))
            if script.content_type is not None:
                headers.append(("x-http-content-type", script.content_type))
            if script.pieces or not script.abort:
                await context.send_initial_metadata(tuple(headers))
            for number, piece in enumerate(script.pieces):
                if number and script.gap_s:
                    await asyncio.sleep(script.gap_s)
                call.sent_s.append(time.monotonic())
                yield piece
            if script.hold:
                await asyncio.Event().wait()
            if script.abort is not None:
                await context.abort(script.abort, script.abort_text)
        except (asyncio.CancelledError, GeneratorExit):
            call.cancelled = True
            raise
        finally:
            call.ended_s = time.monotonic()


class _Health(health.aio.HealthServicer):  # type: ignore[name-defined,misc]
    """gRPC's own, which also counts what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    async def Check(self, request: Any, context: Any) -> Any:
        self.checks += 1
        return await super().Check(request, context)


class _Rest(rest_pb2_grpc.RestServiceServicer):
    def __init__(self, core: Core) -> None:
        for rpc in (method.name for method in service().methods):
            setattr(self, rpc, self._method(core, rpc))

    @staticmethod
    def _method(core: Core, rpc: str) -> Any:
        async def answer(request: Any, context: Any) -> AsyncIterator[HttpBody]:
            async for piece in core.play(rpc, request, context):
                yield HttpBody(data=piece)

        return answer


class _Inference(inference_pb2_grpc.InferenceServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def Chat(self, request: Any, context: Any) -> inference_pb2.ChatResponse:
        script, call = self._core.script, self._core.record("Chat", request, context)
        try:
            await asyncio.sleep(script.wait_s)
            if script.abort is not None:
                await context.abort(script.abort, script.abort_text)
            return inference_pb2.ChatResponse(id="one")
        except asyncio.CancelledError:
            call.cancelled = True
            raise
        finally:
            call.ended_s = time.monotonic()

    async def StreamChat(self, request: Any, context: Any) -> AsyncIterator[inference_pb2.StreamChatResponse]:
        async for piece in self._core.play("StreamChat", request, context):
            yield inference_pb2.StreamChatResponse(id=piece.decode())

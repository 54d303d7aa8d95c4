"""A core that answers any RPC there is, and remembers which came: nothing that a front lets through can hide from it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health_pb2

from tests.crawl.targets import OWN_SERVICE

_CHECK = "/grpc.health.v1.Health/Check"
_FRONTS_OWN = "Envoy/HC"  # the user agent of Envoy's health checks
BODY = b'{"from":"the core"}'


class Recorder(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """`seen`: the RPCs that came, in order, without Envoy's own health checks."""

    def __init__(self, path: Path) -> None:
        self.seen: list[str] = []
        self._path = path
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))

    async def start(self, link: Path) -> None:
        """Behind `link`, as a worker is."""
        credentials = grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
        self._server.add_secure_port(f"unix:{self._path}", credentials)
        await self._server.start()
        fresh = link.with_name(link.name + ".new")
        fresh.symlink_to(self._path.name)
        os.replace(fresh, link)

    async def stop(self) -> None:
        await self._server.stop(None)

    def service(self, call: grpc.HandlerCallDetails) -> Any:
        agent = dict(call.invocation_metadata or ()).get("user-agent", "")
        if not (call.method == _CHECK and agent == _FRONTS_OWN):
            self.seen.append(call.method)
        answer = _rest if call.method.startswith(f"/{OWN_SERVICE}/") else _health if call.method == _CHECK else _empty
        return grpc.stream_stream_rpc_method_handler(answer)


async def _rest(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    await context.send_initial_metadata((("x-http-status", "200"), ("x-http-content-type", "application/json")))
    yield HttpBody(data=BODY).SerializeToString()


async def _health(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING).SerializeToString()


async def _empty(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    yield b""

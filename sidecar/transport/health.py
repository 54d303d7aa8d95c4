"""grpc.health.v1: how the supervisor, Envoy and load balancers ask whether a worker serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from sidecar.transport.context import Context

SERVICE: str = pb.DESCRIPTOR.services_by_name["Health"].full_name
_NOT_FOUND = 5


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # ships no types
    """`set` a service's status; "" is the whole worker's."""

    def __init__(self) -> None:
        self._statuses: dict[str, pb.HealthCheckResponse.ServingStatus] = {}
        self._watching: set[asyncio.Event] = set()

    def set(self, service: str, status: pb.HealthCheckResponse.ServingStatus) -> None:
        self._statuses[service] = status
        for each in self._watching:
            each.set()

    async def Check(self, request: pb.HealthCheckRequest, context: Context) -> Any:  # noqa: N802  # gRPC's name
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(_NOT_FOUND, "There is no such service.")
        return pb.HealthCheckResponse(status=status)

    async def Watch(self, request: pb.HealthCheckRequest, context: Context) -> AsyncIterator[Any]:  # noqa: N802  # gRPC's name
        """Now, and whenever it changes; SERVICE_UNKNOWN while there is no such service."""
        changed = asyncio.Event()
        self._watching.add(changed)
        try:
            last = None
            while True:
                changed.clear()
                status = self._statuses.get(request.service, pb.HealthCheckResponse.SERVICE_UNKNOWN)
                if status != last:
                    last = status
                    yield pb.HealthCheckResponse(status=status)
                await changed.wait()
        finally:
            self._watching.discard(changed)

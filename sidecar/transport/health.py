"""grpc.health.v1: lets the supervisor, Envoy and load balancers ask whether a worker serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc

from sidecar.transport.context import Context, Listener

SERVICE: str = pb.DESCRIPTOR.services_by_name["Health"].full_name
_NOT_FOUND = 5
_USER_KEY = "x-sidecar-user"


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # ships no types
    """Use `set` for the status of a service; "" stands for the whole worker."""

    def __init__(self) -> None:
        self._statuses: dict[str, pb.HealthCheckResponse.ServingStatus] = {}
        self._watching: set[asyncio.Event] = set()
        self.leaving = False

    def set(self, service: str, status: pb.HealthCheckResponse.ServingStatus) -> None:
        self._statuses[service] = status
        for each in self._watching:
            each.set()

    def leave(self) -> None:
        """Reports NOT_SERVING from now on, so that clients and load balancers go elsewhere. The front's own probes
        still get the status that was set: a front that removed this worker would refuse calls that are still to
        be served."""
        self.leaving = True
        for each in self._watching:
            each.set()

    def _status(self, service: str, context: Context) -> pb.HealthCheckResponse.ServingStatus | None:
        status = self._statuses.get(service)
        if self.leaving and status is not None and not _is_front_itself(context):
            return pb.HealthCheckResponse.NOT_SERVING
        return status

    async def Check(self, request: pb.HealthCheckRequest, context: Context) -> Any:  # noqa: N802  # gRPC's name
        status = self._status(request.service, context)
        if status is None:
            await context.abort(_NOT_FOUND, "There is no such service.")
        return pb.HealthCheckResponse(status=status)

    async def Watch(self, request: pb.HealthCheckRequest, context: Context) -> AsyncIterator[Any]:  # noqa: N802  # gRPC's name
        """Streams the status now and after each change; SERVICE_UNKNOWN while there is no such service."""
        changed = asyncio.Event()
        self._watching.add(changed)
        try:
            last = None
            while True:
                changed.clear()
                found = self._status(request.service, context)
                status = pb.HealthCheckResponse.SERVICE_UNKNOWN if found is None else found
                if status != last:
                    last = status
                    yield pb.HealthCheckResponse(status=status)
                await changed.wait()
        finally:
            self._watching.discard(changed)


def _is_front_itself(context: Context) -> bool:
    """Whether the probe is the front's own. The front names a user for every caller behind it."""
    return context.listener is Listener.FRONT and all(key != _USER_KEY for key, _ in context.invocation_metadata())

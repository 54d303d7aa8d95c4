"""The API reference page at /docs, where every call can be tried, and its OpenAPI document."""

from __future__ import annotations

from adapters import GatewayError, Kind
from sidecar.openapi import POLICY, Asset, asset, document
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.error_bodies import OPENAI
from sidecar.worker.rest.json import written
from sidecar.worker.rest.page_files import prefix_of, send, version_of
from sidecar.worker.rest.reply import JSON, Reply, answers_in
from sidecar.worker.rest.route_calls import RouteCalls
from sidecar.worker.route_changes import RouteChanges


class DocsPaths:
    """Available to callers with credentials, like everything else."""

    def __init__(self, calls: RouteCalls, changes: RouteChanges) -> None:
        self._calls = calls
        self._changes = changes

    @answers_in(OPENAI)
    async def OpenDocs(self, request: rest_pb2.OpenDocsRequest, reply: Reply) -> None:
        self._calls.consumer(reply.context)
        await _send(reply, asset(""))

    @answers_in(OPENAI)
    async def GetDocsFile(self, request: rest_pb2.GetDocsFileRequest, reply: Reply) -> None:
        self._calls.consumer(reply.context)
        await _send(reply, asset(request.file))

    @answers_in(OPENAI)
    async def GetOpenApi(self, request: rest_pb2.GetOpenApiRequest, reply: Reply) -> None:
        consumer = self._calls.consumer(reply.context)
        status = await self._changes.status(consumer)
        found = document(
            self._calls.routes(consumer),
            version_of(),
            admin=consumer.admin,
            manages=self._changes.managed,
            own_ca=status is not None and bool(status.ca_pem) and not prefix_of(reply.context),
        )
        await reply.file(JSON, written(found), [("cache-control", "no-store")])


async def _send(reply: Reply, found: Asset | None) -> None:
    if found is None:
        raise GatewayError(Kind.ROUTE_NOT_FOUND, "There is no such file.", code="not_found")
    await send(reply, found.content_type, found.body, POLICY, found.cache_control)

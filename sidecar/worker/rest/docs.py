"""The page on which every call can be tried, and the document behind it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from adapters import GatewayError, Kind
from sidecar.openapi import POLICY, Asset, asset, document
from sidecar.transport.caller import Context
from sidecar.v1 import rest_pb2, rest_pb2_grpc
from sidecar.worker.rest.json import written
from sidecar.worker.rest.reply import JSON, Reply
from sidecar.worker.rest.route_calls import Calls

_PAGE = "/docs"


class DocsPaths(rest_pb2_grpc.RestServiceServicer):
    """For callers with credentials, as everything else."""

    _calls: Calls

    async def OpenRoot(self, request: rest_pb2.OpenRootRequest, context: Context) -> None:
        async with Reply(context) as reply:
            self._calls.consumer(context)
            await reply.file("text/plain; charset=utf-8", b"", [("location", _PAGE)], status=307)

    async def OpenDocs(self, request: rest_pb2.OpenDocsRequest, context: Context) -> None:
        async with Reply(context) as reply:
            self._calls.consumer(context)
            await _send(reply, asset(""))

    async def GetDocsFile(self, request: rest_pb2.GetDocsFileRequest, context: Context) -> None:
        async with Reply(context) as reply:
            self._calls.consumer(context)
            await _send(reply, asset(request.file))

    async def GetOpenApi(self, request: rest_pb2.GetOpenApiRequest, context: Context) -> None:
        async with Reply(context) as reply:
            routes = self._calls.routes(self._calls.consumer(context))
            await reply.file(JSON, written(document(routes, _version())), [("cache-control", "no-store")])


async def _send(reply: Reply, found: Asset | None) -> None:
    if found is None:
        raise GatewayError(Kind.ROUTE_NOT_FOUND, "The page has no such file.", code="not_found")
    headers = [
        ("cache-control", found.cache_control),
        ("content-security-policy", POLICY),
        ("referrer-policy", "no-referrer"),
    ]
    await reply.file(found.content_type, found.body, headers)


def _version() -> str:
    try:
        return version("llm-gateway-sidecar")
    except PackageNotFoundError:  # a checkout on PYTHONPATH
        return "0"

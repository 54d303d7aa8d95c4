"""The page on which every call can be tried, and the document behind it."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from adapters import GatewayError, Kind
from sidecar.openapi import POLICY, Asset, asset, document
from sidecar.transport.caller import Context
from sidecar.v1 import rest_pb2
from sidecar.worker.rest.error_bodies import OPENAI
from sidecar.worker.rest.json import written
from sidecar.worker.rest.reply import JSON, Reply, answers_in
from sidecar.worker.rest.route_calls import RouteCalls

_PAGE = "/docs"
_PREFIX_KEY = "x-forwarded-prefix"
# A path of this host: two slashes at the beginning would be another one.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){1,16}")


class DocsPaths:
    """For callers with credentials, as everything else."""

    def __init__(self, calls: RouteCalls) -> None:
        self._calls = calls

    @answers_in(OPENAI)
    async def OpenRoot(self, request: rest_pb2.OpenRootRequest, reply: Reply) -> None:
        self._calls.consumer(reply.context)
        location = f"{_prefix(reply.context)}{_PAGE}"
        await reply.file("text/plain; charset=utf-8", b"", [("location", location)], status=307)

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
        routes = self._calls.routes(self._calls.consumer(reply.context))
        await reply.file(JSON, written(document(routes, _version())), [("cache-control", "no-store")])


def _prefix(context: Context) -> str:
    """What a balancer took off the path; the front passes it on of those alone that are trusted."""
    for key, value in context.invocation_metadata() or ():
        if key == _PREFIX_KEY and isinstance(value, str) and _PREFIX.fullmatch(value):
            return value
    return ""


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

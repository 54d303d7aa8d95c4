"""The home page: which routes the caller may call, what is left of its limits, and the state of the gateway."""

from __future__ import annotations

from adapters import GatewayError, Kind
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.gateway.gateway import Gateway
from sidecar.home import POLICY, asset, page
from sidecar.transport.caller import caller_of
from sidecar.v1 import rest_pb2
from sidecar.worker.home_view import home_view
from sidecar.worker.rest.error_bodies import OPENAI
from sidecar.worker.rest.page_files import prefix_of, send, version_of
from sidecar.worker.rest.reply import Reply, answers_in
from sidecar.worker.route_changes import RouteChanges

_CA_FILE = "ca.pem"
_HTML = "text/html; charset=utf-8"
_PEM = "application/x-pem-file"


class HomePaths:
    """Available to callers with credentials, like everything else; each sees the routes it may call."""

    def __init__(self, gateway: Gateway, changes: RouteChanges) -> None:
        self._gateway = gateway
        self._changes = changes

    @answers_in(OPENAI)
    async def OpenRoot(self, request: rest_pb2.OpenRootRequest, reply: Reply) -> None:
        caller = caller_of(reply.context)
        consumer = self._gateway.consumers.of(caller)
        status = await self._changes.status(consumer)
        prefix = prefix_of(reply.context)
        view = await home_view(self._gateway, caller, consumer, status, prefix=prefix, version=version_of())
        body = await off_loop(LARGE_BYTES + 1, page, view)
        await send(reply, _HTML, body, POLICY, "no-store")

    @answers_in(OPENAI)
    async def GetHomeFile(self, request: rest_pb2.GetHomeFileRequest, reply: Reply) -> None:
        consumer = self._gateway.consumers.of(caller_of(reply.context))
        if request.file == _CA_FILE:
            status = await self._changes.status(consumer)
            if status is not None and status.ca_pem:
                await send(reply, _PEM, status.ca_pem.encode(), POLICY, "no-store")
                return
        found = asset(request.file)
        if found is None:
            raise GatewayError(Kind.ROUTE_NOT_FOUND, "There is no such file.", code="not_found")
        await send(reply, found.content_type, found.body, POLICY, found.cache_control)

"""How many of our modules somebody reads who follows one call: counted by a profiler, not by imports."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody

from sidecar.conversations import DiskMemory
from sidecar.gateway.gateway import Gateway
from sidecar.telemetry.metrics import Metrics
from sidecar.transport import Listener, Methods, Server
from sidecar.transport.health import HealthServicer
from sidecar.upstream import UpstreamClient
from sidecar.v1 import rest_pb2_grpc
from sidecar.worker.rest import RestServicer
from sidecar.worker.route_changes import RouteChanges
from tests.provider import Provider
from tests.worker.running import default_routes
from tests.worker.test_rest import USER, Http, chat, read

ROOT = Path(__file__).parents[2]
# HTTP/2 towards the front and HTTP/1.1 towards the provider: whoever follows a call takes either as a library.
ENGINES = ("sidecar/transport/", "sidecar/upstream/")
MODULES_MAX = 16


@asynccontextmanager
async def rest_service(provider: Provider) -> AsyncIterator[Any]:
    """A stub of a RestService that is served by this thread."""
    client = UpstreamClient()
    gateway = Gateway(default_routes(provider.base_url), client, Metrics())
    methods = Methods()
    rest_pb2_grpc.add_RestServiceServicer_to_server(
        RestServicer(gateway, RouteChanges(gateway, None), HealthServicer(), DiskMemory(None, lambda: None)), methods
    )
    server = Server(methods)
    with tempfile.TemporaryDirectory(prefix="sc-") as folder:  # pytest's own are too long for a socket's name
        address = f"unix:{folder}/w.sock"
        server.bind_unix(f"{folder}/w.sock", Listener.FRONT)
        await server.start()
        credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        async with grpc.aio.secure_channel(address, credentials) as channel:
            yield rest_pb2_grpc.RestServiceStub(channel)
        await server.stop(0)
    await gateway.close()
    await client.close()


async def modules_of(work: Callable[[], Awaitable[None]]) -> set[str]:
    """Of sidecar/ and adapters/, generated ones apart, whose functions ran in this thread meanwhile."""
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    sys.setprofile(note)
    try:
        await work()
    finally:
        sys.setprofile(None)
    ours = {path.relative_to(ROOT).as_posix() for file in files if (path := Path(file)).is_relative_to(ROOT)}
    return {name for name in ours if name.startswith(("sidecar/", "adapters/")) and not name.startswith("sidecar/v1/")}


def counted(modules: set[str]) -> set[str]:
    """An engine counts as one."""
    return {next((engine for engine in ENGINES if name.startswith(engine)), name) for name in modules}


async def test_one_rest_call_with_a_passed_body_goes_through_few_modules(provider: Provider) -> None:
    body = HttpBody(content_type="application/json", data=json.dumps(chat()).encode())
    answers: list[Http] = []

    async with rest_service(provider) as stub:

        async def call() -> None:
            answers.append(await read(stub.ChatCompletions(body, metadata=USER)))

        await call()  # plans of the snapshot are made by the first one
        # An answer whose head and body come by two reads goes through one module more: now and then, on a busy machine.
        modules = min([counted(await modules_of(call)) for _ in range(5)], key=len)
    server = sorted(name for name in modules if name.startswith("sidecar/"))
    formats = sorted(modules.difference(server))
    print(f"\n{len(server)} modules of the server:", *server, f"{len(formats)} of the format:", *formats, sep="\n  ")
    assert [answer.status for answer in answers] == [200] * 6
    assert {"sidecar/gateway/gateway.py", "sidecar/worker/rest/reply.py", *ENGINES} <= modules, "positive control"
    assert len(modules) <= MODULES_MAX

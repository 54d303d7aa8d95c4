"""A core whose routes are managed by call: `sidecar serve` with two workers. Each is called by its own front socket, as whoever
the test says: so a test chooses which worker makes a change and which one must know of it."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Self

import grpc
import grpc.aio
from google.api.httpbody_pb2 import HttpBody
from google.rpc import error_details_pb2, status_pb2

from sidecar.supervisor.start.state import run_dir
from sidecar.v1 import inference_pb2 as pb
from sidecar.v1 import inference_pb2_grpc, rest_pb2, rest_pb2_grpc, routes_pb2, routes_pb2_grpc
from tests.cli.running import Running
from tests.processes import reached
from tests.provider import Provider

# "boss" is an admin, "ann" is not, "eve" may call nothing but chat.
CONSUMERS = """\
consumers:
  - {name: boss, users: [boss], roles: [admin]}
  - {name: ann, users: [ann]}
  - {name: eve, users: [eve], allow: [chat]}
"""
KEY = "sk-planted-0123456789abcdefghij"
CALL_S = 60.0
RELOAD_S = 60.0


def config_for(provider: Provider, *, manage: bool = True, consumers: str = CONSUMERS, more: str = "") -> str:
    """One route of the file, `chat`."""
    return (
        f"manage_routes: {'true' if manage else 'false'}\n{consumers}routes:\n"
        "  - name: chat\n    route_type: llm/v1/chat\n"
        f"    model: {{provider: openai-compatible, name: sim-chat, config: {{base_url: {provider.base_url}}}}}\n{more}"
    )


def spec(
    name: str,
    base_url: str,
    *,
    model: str = "sim-chat",
    key: str | None = KEY,
    config: Mapping[str, Any] | None = None,
    settings: str = "",
) -> routes_pb2.RouteSpec:
    """A chat route at an OpenAI-compatible provider; `config` goes into `model.config` beside address and key."""
    model_config = {"base_url": base_url, **({} if key is None else {"api_key": key}), **(config or {})}
    model_spec = routes_pb2.ModelSpec(provider="openai-compatible", name=model, config_json=json.dumps(model_config))
    return routes_pb2.RouteSpec(name=name, task=routes_pb2.TASK_CHAT, model=model_spec, settings_json=settings)


class Managed:
    """with Managed(folder, config) as core: async with core.caller(0) as boss: await boss.create(spec(...))"""

    def __init__(self, folder: Path, config: str, *arguments: str) -> None:
        self.folder = folder
        self.running = Running("serve", folder, config, "--workers", "2", *arguments)

    def __enter__(self) -> Self:
        self.running.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.running.__exit__()

    @property
    def routes_d(self) -> Path:
        return self.folder / "routes.d"

    @property
    def log(self) -> str:
        return self.running.process.output

    def rewrite(self, config: str) -> None:
        """Another config, put in place at once."""
        fresh = self.running.config.with_suffix(".new")
        fresh.write_text(config)
        fresh.replace(self.running.config)

    async def reload(self, config: str) -> None:
        """Another config, in use by every worker when this returns. SIGHUP confirms what it may open."""
        before = self.log.count(" in use: ")
        self.rewrite(config)
        os.kill(self.running.process.pid, signal.SIGHUP)
        await reached(lambda: self.log.count(" in use: ") > before, RELOAD_S, "the new config")

    async def logged(self, pattern: str) -> re.Match[str]:
        await reached(lambda: re.search(pattern, self.log), RELOAD_S, pattern)
        found = re.search(pattern, self.log)
        assert found is not None
        return found

    def pid_of(self, worker: int) -> int:
        """Of who serves there."""
        target = os.readlink(run_dir(self.running.state) / f"w{worker}.sock")
        return int(target.removesuffix(".sock").rpartition("-")[2])

    async def serving_again(self, worker: int, but: int) -> None:
        """Returns once another process serves there."""
        await reached(lambda: self.pid_of(worker) != but, RELOAD_S, "another worker")

    def config_hash(self) -> str:
        """Of the configuration in use, as the metrics page says."""
        with urllib.request.urlopen(self.running.env["SIDECAR_METRICS"], timeout=CALL_S) as page:
            found = re.search(r'^sidecar_config_info\{hash="(\w+)"\} 1', page.read().decode(), re.MULTILINE)
        assert found is not None
        return found.group(1)

    def files(self) -> dict[str, str]:
        """What lies in routes.d/, by path below it."""
        return {
            str(path.relative_to(self.routes_d)): path.read_text()
            for path in sorted(self.routes_d.rglob("*"))
            if path.is_file()
        }

    def caller(self, worker: int, user: str = "boss") -> Caller:
        """A user of the front who is served by this worker."""
        credentials = grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)
        target = f"unix:{run_dir(self.running.state) / f'w{worker}.sock'}"
        options = [("grpc.use_local_subchannel_pool", 1)]
        return Caller(grpc.aio.secure_channel(target, credentials, options), user)

    def local(self) -> Caller:
        """Who comes by the local gRPC port."""
        return Caller(grpc.aio.insecure_channel(self.running.env["SIDECAR_GRPC_LOCAL"]), None)


class Caller:
    """Calls of both services over one channel."""

    def __init__(self, channel: grpc.aio.Channel, user: str | None) -> None:
        self._channel = channel
        self._with = {"metadata": () if user is None else (("x-sidecar-user", user),), "timeout": CALL_S}
        self.routes: Any = routes_pb2_grpc.RouteServiceStub(channel)
        self._inference: Any = inference_pb2_grpc.InferenceServiceStub(channel)
        self._rest: Any = rest_pb2_grpc.RestServiceStub(channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    async def create(self, route: routes_pb2.RouteSpec) -> routes_pb2.Route:
        answer: routes_pb2.CreateRouteResponse = await self.routes.CreateRoute(
            routes_pb2.CreateRouteRequest(route=route), **self._with
        )
        return answer.route

    async def update(self, route: routes_pb2.RouteSpec) -> routes_pb2.Route:
        answer: routes_pb2.UpdateRouteResponse = await self.routes.UpdateRoute(
            routes_pb2.UpdateRouteRequest(route=route), **self._with
        )
        return answer.route

    async def delete(self, name: str) -> None:
        await self.routes.DeleteRoute(routes_pb2.DeleteRouteRequest(name=name), **self._with)

    async def get(self, name: str) -> routes_pb2.Route:
        answer: routes_pb2.GetRouteResponse = await self.routes.GetRoute(
            routes_pb2.GetRouteRequest(name=name), **self._with
        )
        return answer.route

    async def names(self) -> list[str]:
        request = routes_pb2.ListRoutesRequest(page_size=1000)
        return [route.name for route in (await self.routes.ListRoutes(request, **self._with)).routes]

    async def limits(self, route: str) -> list[routes_pb2.RateLimit]:
        return list((await self.routes.GetLimits(routes_pb2.GetLimitsRequest(route=route), **self._with)).limits)

    async def set_limits(self, route: str, *limits: routes_pb2.RateLimit) -> list[routes_pb2.RateLimit]:
        request = routes_pb2.SetLimitsRequest(route=route, limits=limits)
        return list((await self.routes.SetLimits(request, **self._with)).limits)

    async def chat(self, route: str) -> None:
        """Over the typed service. Raises AioRpcError."""
        request = pb.ChatRequest(route=route)
        request.messages.add(role=pb.ROLE_USER).content.add(text="hello")
        await self._inference.Chat(request, **self._with)

    async def rest_create(self, name: str, base_url: str) -> int:
        """As MLflow's clients create a route; the HTTP status."""
        model = {"provider": "openai-compatible", "name": "sim-chat", "config": {"base_url": base_url, "api_key": KEY}}
        body = json.dumps({"name": name, "route_type": "llm/v1/chat", "model": model}).encode()
        return await _status(
            self._rest.CreateMlflowRoute(HttpBody(content_type="application/json", data=body), **self._with)
        )

    async def rest_delete(self, name: str) -> int:
        return await _status(self._rest.DeleteMlflowRoute(rest_pb2.DeleteMlflowRouteRequest(name=name), **self._with))

    async def rest_chat(self, route: str) -> int:
        """Over RestService; the HTTP status."""
        body = json.dumps({"model": route, "messages": [{"role": "user", "content": "hello"}]}).encode()
        return await _status(
            self._rest.ChatCompletions(HttpBody(content_type="application/json", data=body), **self._with)
        )


async def _status(call: Any) -> int:
    async for _ in call:
        pass
    return int(dict(await call.initial_metadata())["x-http-status"])


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    """Status and reason of a call that fails. AssertionError for one that does not."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), _reason(error)
    raise AssertionError("the call was not refused")


def _reason(error: grpc.aio.AioRpcError) -> str:
    trailers: Any = error.trailing_metadata() or ()
    for name, value in trailers:
        if name == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""

"""Changes of routes and limits build on a version: of two who change the same one, the second receives 409. By REST behind both
fronts, by gRPC, with our client, and on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from grpc import StatusCode
from llm_gateway_client import Client, Conflict, RateLimit, SidecarError

from sidecar.v1 import routes_pb2
from tests.cli.running import sidecar
from tests.provider import Provider
from tests.routes.managed import Caller, Managed, config_for, refused, spec
from tests.stack.stack import Stack, route

pytestmark = pytest.mark.slow
ADMINS = """\
manage_routes: true
consumers: [{name: boss, users: ["*"], roles: [admin]}, {name: here, local: true, roles: [admin]}]
routes:
"""
WRITERS = 12
ROUTES = "/api/2.0/gateway/routes"
LIMITS = "/api/2.0/gateway/limits"
ABORTED = (StatusCode.ABORTED, "CONFLICT")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, provider: Provider
) -> Iterator[Stack]:
    config = ADMINS + route("chat", "chat", provider)
    with Stack(tmp_path_factory.mktemp(request.param), config, workers=2, front=request.param) as running:
        yield running


def body(provider: Provider, name: str, model: str) -> dict[str, Any]:
    config = {"base_url": provider.base_url, "api_key": "sk-made"}
    return {
        "name": name,
        "route_type": "llm/v1/chat",
        "model": {"provider": "openai-compatible", "name": model, "config": config},
    }


def test_a_change_by_rest_is_made_only_to_the_version_that_it_names(gateway: Stack, provider: Provider) -> None:
    with gateway.http() as http:
        created = http.post(ROUTES, json=body(provider, "made", "m1"))
        first = created.headers["etag"]
        for path in (f"{ROUTES}/made", "/api/2.0/endpoints/made"):
            assert http.get(path).headers["etag"] == first
        assert "etag" not in http.get(f"{ROUTES}/chat").headers, "a route of the config file has no version"
        changed = http.patch(f"{ROUTES}/made", json=body(provider, "made", "m2"), headers={"If-Match": first})
        second = changed.headers["etag"]
        assert changed.status_code == 200
        assert second != first

        late = http.patch(f"{ROUTES}/made", json=body(provider, "made", "m3"), headers={"If-Match": first})
        assert late.status_code == 409
        assert late.headers["etag"] == second
        assert second.strip('"') in late.text
        assert http.delete(f"{ROUTES}/made", headers={"If-Match": first}).status_code == 409
        assert http.get(f"{ROUTES}/made").json()["model"]["name"] == "m2"

        for accepted in ('"0123456789abcdef", {}', "W/{}", "*"):
            named = {"If-Match": accepted.format(second)}
            again = http.patch(f"{ROUTES}/made", json=body(provider, "made", "m4"), headers=named)
            assert again.status_code == 200, accepted
            second = again.headers["etag"]
        wrong = http.patch(f"{ROUTES}/made", json=body(provider, "made", "m5"), headers={"If-Match": "bare"})
        assert wrong.status_code in (400, 422)
        assert "If-Match" in wrong.text
        assert http.delete(f"{ROUTES}/made", headers={"If-Match": second}).status_code == 200


def test_limits_have_a_version_too_also_those_of_the_config_file(gateway: Stack) -> None:
    with gateway.http() as http:
        before = http.get(f"{LIMITS}/chat").headers["etag"]
        wanted = {"route": "chat", "limits": [{"calls": 7, "renewal_period": "minute"}]}
        changed = http.post(LIMITS, json=wanted, headers={"If-Match": before})
        assert changed.status_code == 200
        assert changed.headers["etag"] == http.get(f"{LIMITS}/chat").headers["etag"] != before
        late = http.post(LIMITS, json={"route": "chat", "limits": []}, headers={"If-Match": before})
        assert late.status_code == 409
        assert late.headers["etag"] == changed.headers["etag"]
        assert http.post(LIMITS, json={"route": "chat", "limits": []}).headers["etag"] == before


@pytest.mark.parametrize("by", ["rest", "grpc", "grpcs"])
def test_our_client_gives_and_takes_versions(gateway: Stack, provider: Provider, by: str) -> None:
    address = gateway.url if by == "rest" else gateway.url.replace("https:", "grpcs:")
    target, key, ca = (gateway.grpc_local, None, None) if by == "grpc" else (address, gateway.api_key, gateway.ca)
    model = {"provider": "openai-compatible", "name": "m", "config": {"base_url": provider.base_url}}
    with Client(target, api_key=key, ca=ca, retries=None) as client:
        made = client.create_route(by, "chat", model)
        assert made.etag == client.get_route(by).etag != ""
        changed = client.update_route(by, "chat", {**model, "name": "n"}, etag=made.etag)
        with pytest.raises(Conflict) as late:
            client.update_route(by, "chat", model, etag=made.etag)
        assert (late.value.kind, late.value.http_status, late.value.etag) == ("conflict", 409, changed.etag)
        with pytest.raises(Conflict):
            client.delete_route(by, etag=made.etag)
        limits = client.get_limits(by)
        ours = client.set_limits(by, [RateLimit("requests", 5)], etag=limits.etag)
        with pytest.raises(Conflict) as late:
            client.set_limits(by, [], etag=limits.etag)
        assert late.value.etag == ours.etag == client.get_limits(by).etag
        client.delete_route(by, etag=changed.etag)


def test_the_command_line_shows_versions_and_builds_on_them(gateway: Stack, provider: Provider) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        done = sidecar("routes", *arguments, "--state-dir", str(gateway.state))
        return done.returncode, done.stdout + done.stderr

    model = ("--provider", "openai-compatible", "--config", f"base_url={provider.base_url}")
    assert run("create", "by-cli", "--model", "a", *model)[0] == 0
    shown = dict(line.split(maxsplit=1) for line in run("show", "by-cli")[1].splitlines())
    assert (shown["name"], shown["model"]) == ("by-cli", "a")
    code, text = run("update", "by-cli", "--model", "b", "--etag", shown["version"], *model)
    assert code == 0
    now = text.strip().rstrip(".").rpartition(" ")[2]
    code, text = run("update", "by-cli", "--model", "c", "--etag", shown["version"], *model)
    assert code != 0
    assert "changed at the same time" in text
    assert now in text
    assert run("delete", "by-cli", "--etag", shown["version"])[0] != 0
    assert run("delete", "by-cli", "--etag", now)[0] == 0
    assert "config file" in run("show", "chat")[1]


async def test_of_writers_that_read_the_same_version_exactly_one_wins(tmp_path: Path, provider: Provider) -> None:
    """On two workers."""
    with Managed(tmp_path, config_for(provider)) as core:
        async with core.caller(0) as first, core.caller(1) as second:
            made = await first.create(spec("made", provider.base_url))

            async def write(caller: Caller, number: int) -> routes_pb2.Route | tuple[StatusCode, str]:
                route = spec("made", provider.base_url, model=f"m{number}")
                request = routes_pb2.UpdateRouteRequest(route=route, etag=made.etag)
                call = caller.routes.UpdateRoute(request, metadata=(("x-sidecar-user", "boss"),))
                try:
                    changed: routes_pb2.UpdateRouteResponse = await call
                except grpc.aio.AioRpcError:
                    return await refused(call)
                return changed.route

            done = await asyncio.gather(*(write((first, second)[each % 2], each) for each in range(WRITERS)))
            won = [each for each in done if isinstance(each, routes_pb2.Route)]
            assert len(won) == 1
            assert [each for each in done if not isinstance(each, routes_pb2.Route)] == [ABORTED] * (WRITERS - 1)
            assert await first.get("made") == await second.get("made") == won[0]


def test_a_counter_that_many_raise_by_reading_and_writing_loses_nothing(gateway: Stack) -> None:
    """Each success builds on the version that it saw: as many as there were."""
    rounds, at_once = 5, 4

    async def raise_by_one(http: httpx.AsyncClient) -> None:
        while True:
            read = await http.get(f"{LIMITS}/chat")
            calls = sum(each["calls"] for each in read.json()["limits"])
            wanted = {"route": "chat", "limits": [{"calls": calls + 1, "renewal_period": "hour"}]}
            written = await http.post(LIMITS, json=wanted, headers={"If-Match": read.headers["etag"]})
            if written.status_code == 200:
                return
            assert written.status_code == 409

    async def hammer() -> None:
        async with asyncio.timeout(60), gateway.async_http() as http:
            await http.post(LIMITS, json={"route": "chat", "limits": [{"calls": 0, "renewal_period": "hour"}]})

            async def many() -> None:
                for _ in range(rounds):
                    await raise_by_one(http)

            await asyncio.gather(*(many() for _ in range(at_once)))
            limits = (await http.get(f"{LIMITS}/chat")).json()["limits"]
            assert [each["calls"] for each in limits] == [rounds * at_once]
            await http.post(LIMITS, json={"route": "chat", "limits": []})

    asyncio.run(hammer())


def test_what_is_refused_is_an_error_of_our_own(gateway: Stack, provider: Provider) -> None:
    """An etag of a route that is gone names nothing."""
    with Client(gateway.grpc_local, retries=None) as client, pytest.raises(SidecarError) as gone:
        client.delete_route("nobody", etag="0123456789abcdef")
    assert gone.value.kind == "route_not_found"

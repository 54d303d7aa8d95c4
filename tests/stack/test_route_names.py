"""Routes with slashes and colons, aliases and wildcards through both fronts: OpenAI's SDK, our client, MLflow's paths by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from llm_gateway_client import Client, NotFound, RateLimit, SidecarError

from tests.provider import Provider
from tests.stack.stack import Stack, route

CONFIG = """\
manage_routes: true
consumers: [{name: boss, users: ["*"], roles: [admin]}, {name: here, local: true, roles: [admin]}]
x-note: anchors
routes:
"""
HELLO: Any = [{"role": "user", "content": "Hello."}]


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, simulator: Provider
) -> Iterator[Stack]:
    config = CONFIG + "".join(
        [
            route("vendor/model:8b", "chat", simulator, model="exact", extra="aliases: [chat, vendor/latest]"),
            route('"vendor/*"', "chat", simulator, model="*"),
        ]
    )
    with Stack(tmp_path_factory.mktemp(request.param), config, workers=1, front=request.param) as running:
        yield running


def _model(provider: Provider) -> str:
    return str(json.loads(provider.calls[-1].body)["model"])


def test_openais_sdk_finds_models_by_every_name(gateway: Stack, simulator: Provider) -> None:
    http = openai.DefaultHttpxClient(verify=gateway.trust(), trust_env=False)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=gateway.api_key, http_client=http, max_retries=0) as sdk:
        for name, model in (("vendor/model:8b", "exact"), ("chat", "exact"), ("vendor/new/m:1", "new/m:1")):
            assert sdk.models.retrieve(name).id == name
            assert sdk.chat.completions.create(model=name, messages=HELLO).choices
            assert _model(simulator) == model
        assert [each.id for each in sdk.models.list()] == ["vendor/model:8b", "chat", "vendor/latest", "vendor/*"]
        with pytest.raises(openai.NotFoundError):
            sdk.chat.completions.create(model="vendor/*", messages=HELLO)


@pytest.mark.parametrize("name", ["vendor/model:8b", "vendor%2Fmodel%3A8b", "vendor/other", "vendor%2fother", "chat"])
def test_mlflows_paths_take_names_with_slashes_as_they_stand_and_escaped(gateway: Stack, name: str) -> None:
    with gateway.http() as http:
        for path in ("/gateway/{}/invocations", "/endpoints/{}/invocations", "/gateway/{}/mlflow/invocations"):
            assert http.post(path.format(name), json={"messages": HELLO}).status_code == 200, path
        for path in ("/api/2.0/gateway/routes/{}", "/api/2.0/endpoints/{}", "/api/2.0/endpoints/{}/"):
            found = http.get(path.format(name)).json()
            assert found["name"] == name.replace("%2F", "/").replace("%2f", "/").replace("%3A", ":")
        for path in ("/api/2.0/gateway/limits/{}", "/api/2.0/endpoints/limits/{}"):
            assert http.get(path.format(name)).json() == {"limits": []}


@pytest.mark.parametrize("by", ["rest", "grpc"])
def test_routes_with_slashes_are_managed_and_limited_by_call(gateway: Stack, simulator: Provider, by: str) -> None:
    target = gateway.url if by == "rest" else gateway.grpc_local
    key = gateway.api_key if by == "rest" else None
    name, wildcard = f"team/{by}:1", f"{by}/*"
    config = {"base_url": simulator.base_url, "api_key": "sk-made"}
    with Client(target, api_key=key, ca=gateway.ca if by == "rest" else None, retries=None) as client:
        for made, model in ((name, "m"), (wildcard, "*")):
            client.create_route(made, "chat", {"provider": "openai-compatible", "name": model, "config": config})
        assert client.chat(f"{by}/some/model", "Hello.").text
        assert _model(simulator) == "some/model"
        client.set_limits(name, [RateLimit("requests", 1, 3600)])
        assert client.chat(name, "Hello.").text
        with pytest.raises(SidecarError, match="is reached"):
            client.chat(name, "Hello.")
        with pytest.raises(SidecarError, match="is an alias of route"):
            client.set_limits(f"{by}/some/model", [RateLimit("requests", 1, 3600)])
        files = {path.name for path in Path(gateway.config.parent, "routes.d").rglob("*") if path.is_file()}
        assert {f"team,{by}=1.yaml", f"{by},+.yaml", f"team,{by}=1.json"} <= files
        taken = {"provider": "openai-compatible", "name": "m", "config": config}
        with pytest.raises(SidecarError, match="is taken"):
            client.create_route("vendor/latest", "chat", taken)
        for made in (name, wildcard):
            client.delete_route(made)
            with pytest.raises(NotFound):
                client.get_route(made)


def test_what_is_counted_bears_the_routes_own_names(gateway: Stack) -> None:
    routes = {sample.labels["route"] for sample in gateway.samples() if sample.name == "sidecar_requests_total"}
    assert "vendor/*" in routes
    assert not {name for name in routes if name.startswith("vendor/")} - {"vendor/*", "vendor/model:8b"}

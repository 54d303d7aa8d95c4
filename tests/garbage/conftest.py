"""A gateway behind each front whose routes are managed through the API; `boss` is its admin, `ann` is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from sidecar.identity.users import api_key
from tests.cli.running import sidecar
from tests.provider import Call, Provider, Reply, default_reply
from tests.stack.behind_both import FRONTS, healthy_simulator, simulator
from tests.stack.stack import Stack, config_for

__all__ = ["healthy_simulator", "simulator"]

_MORE = """\
manage_routes: true
responses: {remember: 1h}
consumers:
  - {name: admins, users: [boss], local: true, roles: [admin]}
  - {name: team, users: [ann]}
"""
BUG = re.compile("(?i)a bug in|Traceback|is not a worker of ours")
Users = dict[str, str]


@dataclass(frozen=True, slots=True)
class Gateway:
    """`keys`: the API key of each user."""

    stack: Stack
    keys: Users

    def state(self) -> list[Any]:
        """Routes and limits, as the admin reads them, and the files they are kept in."""
        with self._boss() as http:
            routes = http.get("/api/2.0/gateway/routes").json()["routes"]
            limits = [http.get(f"/api/2.0/gateway/limits/{route['name']}").json() for route in routes]
        kept = self.stack.config.parent / "routes.d"
        files = {path: path.read_bytes() for path in sorted(kept.rglob("*")) if path.is_file()}
        files = {path: data for path, data in files.items() if data != b"[]"}  # limits that were removed
        return [routes, limits, files]

    def delete(self, route: str) -> None:
        """It may be gone already: some of what is tried deletes."""
        with self._boss() as http:
            assert http.delete(f"/api/2.0/gateway/routes/{quote(route, safe='')}").status_code in (200, 404)

    def clear_limits(self, route: str) -> None:
        with self._boss() as http:
            answer = http.post("/api/2.0/gateway/limits", json={"route": route, "limits": []})
            assert answer.status_code == 200

    def _boss(self) -> httpx.Client:
        return self.stack.http(key=self.keys["boss"])


def small_answer(call: Call) -> Reply:
    """A script of the simulator: the answer to a small good request, whatever this one has for values."""
    request = json.loads(call.body, parse_int=str)
    plain: dict[str, Any] = {"model": "m", "stream": request.get("stream") is True}
    if "messages" in request:
        plain["messages"] = [{"role": "user", "content": "hi"}]
    elif "input" in request:
        plain["input"] = ["a", "b"]
    else:
        plain["prompt"] = "p"
    return default_reply(call, plain)


@contextmanager
def nothing_changed(gateway: Gateway) -> Iterator[None]:
    """Within the block no route and no limit has changed, and nothing of it was a bug."""
    before = gateway.state()
    yield
    assert gateway.state() == before
    found = [line for line in gateway.stack.log.splitlines() if BUG.search(line)]
    assert found == []


def _added(stack: Stack, name: str) -> str:
    words = sidecar("users", "add", name, "--state-dir", str(stack.state)).stdout.split()
    return api_key(name, words[words.index("password") + 1])


@pytest.fixture(scope="session")
def gateways(tmp_path_factory: pytest.TempPathFactory, simulator: Provider) -> Iterator[dict[str, Gateway]]:
    config = config_for(simulator) + _MORE
    nginx = Stack(tmp_path_factory.mktemp("nginx"), config, workers=1)
    envoy = Stack(tmp_path_factory.mktemp("envoy"), config, workers=1, front="envoy")
    with nginx as first, envoy as second:
        yield {
            front: Gateway(stack, {name: _added(stack, name) for name in ("boss", "ann")})
            for front, stack in (("nginx", first), ("envoy", second))
        }


@pytest.fixture(params=FRONTS)
def gateway(request: pytest.FixtureRequest, gateways: dict[str, Gateway]) -> Gateway:
    return gateways[request.param]

"""Who may change routes and limits: admins, and routes only where the config says that they are managed by call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from grpc import StatusCode

from sidecar.v1 import routes_pb2
from tests.cli.running import Running
from tests.provider import Provider
from tests.routes.managed import Caller, Managed, config_for, refused, spec

pytestmark = pytest.mark.slow
LIMIT = routes_pb2.RateLimit(unit=routes_pb2.LIMIT_UNIT_REQUESTS, count=5, per_seconds=60)
NOWHERE = "http://127.0.0.1:9/v1"
CALLS: dict[str, Callable[[Caller], Awaitable[object]]] = {
    "create": lambda caller: caller.create(spec("new", NOWHERE)),
    "update": lambda caller: caller.update(spec("made", NOWHERE)),
    "delete": lambda caller: caller.delete("made"),
    "set_limits": lambda caller: caller.set_limits("chat", LIMIT),
    "get_limits": lambda caller: caller.limits("chat"),
}
DENIED = (StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
OFF = (StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION")
HIDDEN = (StatusCode.NOT_FOUND, "ROUTE_NOT_FOUND")
# What each of CALLS meets, in their order; None: it is done. By what the config says and who calls.
MATRIX = {
    ("managed", "boss"): (None, None, None, None, None),
    ("managed", "ann"): (DENIED, DENIED, DENIED, DENIED, None),
    ("managed", "stranger"): (DENIED, DENIED, DENIED, DENIED, HIDDEN),
    ("managed", None): (DENIED, DENIED, DENIED, DENIED, HIDDEN),
    ("not managed", "boss"): (OFF, OFF, OFF, None, None),
    ("not managed", "ann"): (DENIED, DENIED, DENIED, DENIED, None),
    ("no consumers", "boss"): (DENIED, DENIED, DENIED, DENIED, None),
    ("no consumers", None): (DENIED, DENIED, DENIED, DENIED, None),
    ("local is admin", None): (None, None, None, None, None),
    ("local is admin", "boss"): (DENIED, DENIED, DENIED, DENIED, HIDDEN),
    ("local is admin", "local"): (DENIED, DENIED, DENIED, DENIED, HIDDEN),
}
LOCAL_ADMIN = "consumers:\n  - {name: here, local: true, roles: [admin]}\n"


@pytest.fixture(scope="module")
def configs(simulator: Provider) -> dict[str, str]:
    return {
        "managed": config_for(simulator),
        "not managed": config_for(simulator, manage=False),
        "no consumers": config_for(simulator, consumers=""),
        "local is admin": config_for(simulator, consumers=LOCAL_ADMIN),
    }


@pytest.fixture(scope="module")
def simulator() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.mark.parametrize("config_name", ["managed", "not managed", "no consumers", "local is admin"])
async def test_only_admins_change_anything(tmp_path: Path, configs: dict[str, str], config_name: str) -> None:
    with Managed(tmp_path, configs["managed"]) as core:
        async with core.caller(0) as boss:
            await boss.create(spec("made", NOWHERE))
        if config_name != "managed":
            await core.reload(configs[config_name])
        for user in (user for config, user in MATRIX if config == config_name):
            for (name, call), expected in zip(CALLS.items(), MATRIX[config_name, user], strict=True):
                async with core.local() if user is None else core.caller(1, user) as caller:
                    if expected is None:
                        await call(caller)
                    else:
                        assert await refused(call(caller)) == expected, f"{config_name}, {user}: {name}"


async def test_nobody_learns_of_routes_that_are_not_theirs(tmp_path: Path, configs: dict[str, str]) -> None:
    with Managed(tmp_path, configs["managed"]) as core:
        async with core.caller(0) as boss, core.caller(1, "eve") as eve:
            await boss.create(spec("made", NOWHERE))
            assert await eve.names() == ["chat"]
            assert await refused(eve.limits("made")) == await refused(eve.limits("never")) == HIDDEN
            assert await refused(eve.chat("made")) == HIDDEN


def test_the_cli_makes_and_removes_routes(tmp_path: Path, configs: dict[str, str], simulator: Provider) -> None:
    with Running("serve", tmp_path, configs["local is admin"]) as core:
        made = core.call(
            "routes", "create", "mine", "--provider", "openai-compatible", "--model", "sim-chat",
            "--config", f"base_url={simulator.base_url}", "--config", "api_key=-", stdin="sk-from-stdin-0123456789\n",
        )  # fmt: skip
        assert (made.returncode, made.stderr) == (0, "")
        assert "mine" in core.call("routes").stdout
        assert core.call("chat", "mine", "hello").returncode == 0
        assert simulator.calls[-1].key == "sk-from-stdin-0123456789"
        again = core.call("routes", "create", "mine", "--provider", "openai-compatible", "--model", "x")
        assert again.returncode == 1
        assert again.stderr.startswith("sidecar: ALREADY_EXISTS: ")
        assert core.call("routes", "delete", "mine").returncode == 0
        assert "mine" not in core.call("routes").stdout


def test_the_cli_says_that_it_may_not(tmp_path: Path, configs: dict[str, str]) -> None:
    with Running("serve", tmp_path, configs["no consumers"]) as core:
        no = core.call("routes", "delete", "chat")
        assert no.returncode == 1
        assert no.stderr.startswith("sidecar: PERMISSION_DENIED: This call requires an admin")
        assert "Traceback" not in no.stderr

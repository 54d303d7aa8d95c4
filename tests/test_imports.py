"""The architecture as an executable rule: folders in reading order, and a module imports only its own folder and those above."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPURE = frozenset(
    [
        "asyncio",
        "socket",
        "ssl",
        "http",
        "urllib",
        "time",
        "random",
        "os",
        "logging",
        "threading",
        "subprocess",
        "aiohttp",
    ]
)
# The client is a distribution of its own, and what the gateway reads of it is pure tables.
CLIENT = ROOT / "client" / "llm_gateway_client"
SHARED = frozenset({"kinds", "periods"})
# Reading order. `adapters` is a folder of its own beside `sidecar`; the others are folders in it.
ORDER = (
    "v1",
    "adapters",
    "domain",
    "config",
    "limits",
    "spend",
    "upstream",
    "telemetry",
    "store",
    "conversations",
    "gateway",
    "transport",
    "control",
    "identity",
    "openapi",
    "home",
    "worker",
    "front",
    "local",
    "supervisor",
    "cli",
    "__main__",
)
RANK = {name: rank for rank, name in enumerate(ORDER)}
# Equals that know nothing of each other: the services, and the processes that the supervisor runs besides the workers.
_SERVICES = frozenset({"inference", "routes", "rest"})
_APART = frozenset({"front", "local"})
# What the server may import of `adapters` besides the package itself: the table of providers, and the dialects of MLflow's own
# clients, which the REST service and the client choose between, and the errors of the doors' formats.
_PUBLIC = frozenset(
    {
        "adapters.providers",
        "adapters.mlflow_client",
        "adapters.anthropic",
        "adapters.responses",
        "adapters.responses.remembered",
    }
)


def imported(source: str) -> Iterator[str]:
    """Every module an import statement names, wherever it is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def folder(module: str) -> str | None:
    """Not the client's, which is no part of the gateway."""
    parts = module.split(".")
    if parts[0] == "adapters":
        return "adapters"
    return parts[1] if parts[0] == "sidecar" and len(parts) > 1 else None


def violations(module: str, source: str) -> list[str]:
    own = folder(module)
    found = []
    for name in imported(source):
        other = folder(name)
        if package(module) == "llm_gateway_client" and package(name) in ("sidecar", "adapters"):
            found.append(f"{module} is of the client, which needs nothing of the gateway, and imports {name}")
        if package(name) == "llm_gateway_client" and own in RANK and own != "cli" and not shared(own, name):
            found.append(
                f"{module} imports {name}: what the gateway reads of the client is {', '.join(sorted(SHARED))}"
            )
        if own == "adapters" and (name.split(".")[0] in IMPURE or (name.split(".")[0] == "sidecar" and other != "v1")):
            found.append(f"{module} is pure and imports {name}")
        elif own in RANK and other in RANK and RANK[other] > RANK[own]:
            found.append(f"{module} imports {name}, which comes later")
        elif own != "adapters" and not public(name):
            found.append(f"{module} imports {name}, which adapters/__init__.py does not export")
        elif strangers(module, name):
            found.append(f"{module} imports {name}, which it should not know")
    return found


def package(module: str) -> str:
    return module.split(".")[0]


def shared(own: str, name: str) -> bool:
    """Whether a folder of the gateway may import this of the client. Adapters import neither."""
    parts = name.split(".")
    return own != "adapters" and len(parts) > 1 and parts[1] in SHARED


def public(name: str) -> bool:
    """Whether a module outside `adapters` may import it: a name of the package itself or of a public module in it."""
    parts = name.split(".")
    if parts[0] != "adapters":
        return True
    inner = [".".join(parts[:end]) for end in range(2, len(parts) + 1)]
    modules = [
        one for one in inner if (path := ROOT.joinpath(*one.split("."))).is_dir() or path.with_suffix(".py").exists()
    ]
    return not modules or modules[-1] in _PUBLIC


def strangers(module: str, other: str) -> bool:
    own, theirs = module.split("."), other.split(".")
    if own[:2] == ["sidecar", "worker"] and theirs[:2] == ["sidecar", "worker"]:
        pair = {*own[2:3], *theirs[2:3]}
        return len(pair) == 2 and pair <= _SERVICES
    return own[0] == theirs[0] == "sidecar" and {*own[1:2], *theirs[1:2]} == _APART


def sources() -> list[Path]:
    return [
        path
        for top in (ROOT / "adapters", ROOT / "sidecar", CLIENT)
        for path in sorted(top.rglob("*.py"))
        if path.parent.name != "v1"
    ]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(CLIENT.parent if CLIENT in path.parents else ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_a_module_imports_only_its_own_folder_and_those_above(path: Path) -> None:
    assert violations(module_of(path), path.read_text(encoding="utf-8")) == []


def test_every_folder_of_the_server_has_its_place_in_the_order() -> None:
    folders = {path.name for path in (ROOT / "sidecar").iterdir() if (path / "__init__.py").exists()}
    assert folders == set(ORDER) - {"adapters", "__main__"}


def test_no_module_is_loose_at_the_top_of_the_server() -> None:
    assert {path.name for path in (ROOT / "sidecar").glob("*.py")} == {"__init__.py", "__main__.py"}


def test_the_tree_in_contributing_is_the_tree() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("```\n")[2].partition("```")[0]
    server = tree.partition("sidecar/  ")[2].partition("deploy/")[0]
    assert re.findall(r"^  (\w+)/ ", server, re.MULTILINE) == [
        name for name in ORDER if name not in ("adapters", "__main__")
    ]
    tops = [name for line in tree.splitlines() if line[:1] != " " for name in re.findall(r"([a-z/0-9_]+)/ ", line[:20])]
    assert tops
    assert all((ROOT / name).is_dir() for name in tops)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("adapters.openai.passthrough_request", "def f():\n    import time"),
        ("adapters.json_object", "from urllib.parse import urlparse"),
        ("adapters.json_object", "from sidecar.domain.status import TABLE"),
        ("adapters.json_object", "from sidecar.domain import status"),
        ("sidecar.domain.call", "from sidecar.config import load"),
        ("sidecar.gateway.gateway", "from sidecar.worker import rest"),
        ("sidecar.gateway.gateway", "from adapters.vectors import encode_vectors"),
        ("sidecar.gateway.gateway", "from adapters import vectors"),
        ("sidecar.gateway.stream", "import adapters.openai.stream"),
        ("sidecar.worker.rest.mlflow", "from adapters.mlflow_client.envelopes import members_of"),
        ("sidecar.gateway.gateway", "from sidecar.transport.caller import caller_of"),
        ("sidecar.worker.rest.openai", "import sidecar.supervisor.processes.pool"),
        ("sidecar.worker.rest.openai", "from sidecar.worker import inference"),
        ("sidecar.worker.rest", "from sidecar.worker.inference import InferenceServicer"),
        ("sidecar.upstream", "from sidecar.front import nginx"),
        ("sidecar.worker.server", "from sidecar.local.launch import start"),
        ("sidecar.front.nginx", "from sidecar.local.fetch import fetch"),
        ("sidecar.supervisor.processes.pool", "from sidecar.cli import main"),
        ("sidecar.supervisor.processes.pool", "from llm_gateway_client import Client"),
        ("sidecar.gateway.gateway", "from llm_gateway_client.errors import RateLimited"),
        ("adapters.openai", "from llm_gateway_client.kinds import KINDS"),
        ("llm_gateway_client.errors", "from sidecar.domain.status import ANSWERS"),
        ("llm_gateway_client.fluent", "def f():\n    from adapters import FORMATS"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


def test_what_the_design_allows_is_no_violation() -> None:
    assert violations("adapters.openai", "import msgspec\nfrom sidecar.v1 import inference_pb2") == []
    assert violations("sidecar.worker.server", "from sidecar.worker import inference, rest") == []
    assert (
        violations("sidecar.supervisor.start.run", "from sidecar.front import nginx\nfrom sidecar.local import launch")
        == []
    )
    assert violations("sidecar.gateway.gateway", "import asyncio\nfrom sidecar.domain.status import TABLE") == []
    assert violations("sidecar.config.limits", "from llm_gateway_client import periods") == []
    assert violations("sidecar.domain.status", "from llm_gateway_client.kinds import KINDS") == []
    assert violations("sidecar.cli.inference", "from llm_gateway_client import Client") == []
    assert violations("llm_gateway_client.sync.client", "import httpx\nfrom llm_gateway_client import requests") == []

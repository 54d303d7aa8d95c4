"""The architecture as an executable rule: who may import whom (adapters are pure; layers only look down)."""

from __future__ import annotations

import ast
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
# Each layer may import its own and those before it. What is not of the request's path stands where its imports put it.
LAYERS = (
    "v1",
    "transport",
    "adapters",
    "client",
    "secret free_ports redaction snapshot caller calls config upstream credentials errors metrics limits spend strict"
    " control patches reload route_files consumers secrets_in_prompts access_log writing",
    "accounting status attempt breaker admission estimate meter openapi",
    "streaming ways",
    "tries",
    "gateway",
    "route_changes",
    "servicers",
    "server",
    "front local",
    "supervisor",
    "cli",
    "__main__",
)
_APART = {"front", "local"}
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer.split()}


def imported(source: str) -> Iterator[str]:
    """Every module an import statement names, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def layer(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "adapters":
        return "adapters"
    return parts[1] if parts[0] == "sidecar" and len(parts) > 1 else None


def violations(module: str, source: str) -> list[str]:
    own = layer(module)
    found = []
    for name in imported(source):
        other = layer(name)
        if own == "adapters" and (name.split(".")[0] in IMPURE or (name.split(".")[0] == "sidecar" and other != "v1")):
            found.append(f"{module} is pure and imports {name}")
        elif own in RANK and other in RANK and RANK[other] > RANK[own]:
            found.append(f"{module} imports {name}, which is above it")
        elif strangers(module, name):
            found.append(f"{module} imports {name}, which it should not know")
    return found


def strangers(module: str, other: str) -> bool:
    """Equals that know nothing of each other: the services, and what the supervisor starts beside the workers."""
    own, theirs = module.split("."), other.split(".")
    if own[:2] == ["sidecar", "servicers"] and theirs[:2] == ["sidecar", "servicers"]:
        return len(own) > 2 and len(theirs) > 2 and own[2] not in ("__init__", theirs[2])
    return own[0] == theirs[0] == "sidecar" and {*own[1:2], *theirs[1:2]} == _APART


def sources() -> list[Path]:
    return [
        path
        for package in ("adapters", "sidecar")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.relative_to(ROOT).parts[:2] != ("sidecar", "v1")
    ]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_a_module_imports_only_what_its_layer_allows(path: Path) -> None:
    assert violations(module_of(path), path.read_text(encoding="utf-8")) == []


def test_every_module_of_the_core_stands_in_a_layer() -> None:
    names = {
        path.stem for path in (ROOT / "sidecar").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert names - {"__init__"} <= RANK.keys()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("adapters.openai._open", "def f():\n    import time"),
        ("adapters._json", "from urllib.parse import urlparse"),
        ("adapters._json", "from sidecar.errors import TABLE"),
        ("adapters._json", "from sidecar import errors"),
        ("sidecar.gateway", "from sidecar.servicers import rest"),
        ("sidecar.servicers.rest", "import sidecar.supervisor.pool"),
        ("sidecar.servicers.rest", "from sidecar.servicers import inference"),
        ("sidecar.servicers.rest", "from sidecar.servicers.inference import InferenceServicer"),
        ("sidecar.upstream", "from sidecar.front import nginx"),
        ("sidecar.server", "from sidecar.local.launch import start"),
        ("sidecar.front.nginx", "from sidecar.local.fetch import fetch"),
        ("sidecar.supervisor.pool", "from sidecar.cli import main"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


def test_what_the_design_allows_is_no_violation() -> None:
    assert violations("adapters.openai", "import msgspec\nfrom sidecar.v1 import inference_pb2") == []
    assert violations("sidecar.server", "from sidecar.servicers import inference, rest") == []
    assert (
        violations("sidecar.supervisor.run", "from sidecar.front import nginx\nfrom sidecar.local import launch") == []
    )
    assert violations("sidecar.gateway", "import asyncio\nfrom sidecar.errors import TABLE") == []

"""The file's top level: its routes, those of further files, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.config import fields
from sidecar.config.consumers import consumers
from sidecar.config.names import Names
from sidecar.config.problems import Report
from sidecar.config.route import route
from sidecar.config.settings import SHARED_KEYS, Scope, Settings, admission, settings
from sidecar.config.split import Split, is_split, resolved, split
from sidecar.config.yaml_tree import Entry, Node
from sidecar.domain.snapshot import Admission, Route

LIST_KEYS = ("routes", "endpoints")
TOP_KEYS = (
    *LIST_KEYS,
    "defaults",
    "consumers",
    "secrets_in_prompts",
    "manage_routes",
    "admission",
    "mlflow_dialect",
)
# What may stand at the top of a file of routes made by call.
EXTRA_KEYS = LIST_KEYS
SECRETS_IN_PROMPTS: Final = ("refuse", "log", "off")
# As Snapshot has it; a test compares them.
WORKER_ADMISSION = Admission(1000)
# More routes than this in one file is a generated mistake; 6,001 is the largest MLflow tests.
ROUTES_MAX = 50_000


@dataclass(slots=True)
class Found:
    """What a load gathers: the arguments of Snapshot, beside its hash."""

    routes: dict[str, Route] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)


def read(root: Node, extra: Iterable[tuple[Node, Scope]], scope: Scope) -> Found:
    """All of it, routes in the files' order; what is wrong goes to the report and is left out."""
    report, found = scope.report, Found()
    entries = fields.mapping(root, "", report, TOP_KEYS) or {}
    defaults = defaults_of(entries, scope)
    read_routes: dict[str, Route | Split | None] = {}
    names: Names = {}
    some = gather(entries, defaults, names, read_routes, scope)
    for node, beside in extra:
        there = fields.mapping(node, "", beside.report, EXTRA_KEYS) or {}
        some = gather(there, defaults, names, read_routes, beside) or some
    found.routes = resolved(read_routes)
    _others(root, entries, found, report)
    if root.kind == "mapping" and not some and not found.others.get("manage_routes"):
        report.error(root.line, "", "there are no routes", "`routes:` or `endpoints:` holds at least one")
    if "consumers" in root.entries:
        found.others["consumers"] = consumers(root.entries["consumers"].value, list(names), report)
    return found


def defaults_of(entries: Mapping[str, Entry], scope: Scope) -> Settings:
    """The dialect may stand at the top too: it is the one setting that is of the gateway as much as of its routes."""
    found = Settings()
    if (entry := entries.get("mlflow_dialect")) is not None:
        found = settings({"mlflow_dialect": entry}, "", found, scope)
    if (entry := entries.get("defaults")) is None:
        return found
    return settings(fields.mapping(entry.value, "defaults", scope.report, SHARED_KEYS) or {}, "defaults", found, scope)


def gather(
    entries: Mapping[str, Entry], defaults: Settings, names: Names, found: dict[str, Route | Split | None], scope: Scope
) -> bool:
    """Whether there were any, good or not."""
    some = False
    for key in (key for key in entries if key in LIST_KEYS):
        node = entries[key].value
        some = some or bool(node.items) or node.kind != "list"
        for index, item in enumerate(_items(key, node, scope)):
            path = f"{key}[{index}]"
            read_one = split if is_split(item) else route
            name, made = read_one(item, path, defaults, names, scope)
            if name is not None:
                found[name] = made
    return some


def _items(key: str, node: Node, scope: Scope) -> list[Node]:
    if node.kind != "list":
        scope.report.error(node.line, key, f"expected a list, found {fields.kind_of(node)}")
        return []
    if len(node.items) > ROUTES_MAX:
        scope.report.error(node.line, key, f"more than {ROUTES_MAX:,} routes")
        return []
    return node.items


def _others(root: Node, entries: Mapping[str, Entry], found: Found, report: Report) -> None:
    made: dict[str, Any] = {}
    if (entry := entries.get("secrets_in_prompts")) is not None:
        made["secrets_in_prompts"] = fields.word(entry.value, "secrets_in_prompts", report, SECRETS_IN_PROMPTS)
    if (entry := entries.get("manage_routes")) is not None:
        made["manage_routes"] = fields.boolean(entry.value, "manage_routes", report)
    if (entry := entries.get("admission")) is not None:
        made["admission"] = admission(entry.value, "admission", WORKER_ADMISSION, report)
    found.others.update({name: value for name, value in made.items() if value is not None})

"""The file's top level: its routes, those of further files, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sidecar.config import fields
from sidecar.config.consumers import CONSUMERS_MAX, consumers
from sidecar.config.cors import CORS
from sidecar.config.kinds import BOOLEAN, Kind, Schema, choice, list_of, reference
from sidecar.config.names import Names
from sidecar.config.responses import RESPONSES, require_shared_key
from sidecar.config.route import route
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field, Section
from sidecar.config.settings import ADMISSION, DIALECT, SETTINGS, Settings
from sidecar.config.split import Split, is_split, resolved, split
from sidecar.config.store import STORE
from sidecar.config.variables import IGNORED
from sidecar.config.yaml_tree import Node
from sidecar.domain.snapshot import Route, Snapshot

LIST_KEYS = ("routes", "endpoints")
_SECRETS_IN_PROMPTS: Final = ("refuse", "log", "off")
_DIALECT: Final = "mlflow_dialect"
# More routes than this in one file is a generated mistake; 6,001 is the largest MLflow tests.
_ROUTES_MAX = 50_000
# MLflow has two meanings of an item; the keys tell.
_IS_SPLIT: Schema = {"anyOf": [{"required": ["destinations"]}, {"required": ["task_type"]}]}
_ROUTES = list_of({"if": _IS_SPLIT, "then": reference("split"), "else": reference("route")})
# YAML 1.1 reads `off` as false.
_SECRETS_KIND = choice(_SECRETS_IN_PROMPTS, schema={"enum": [*_SECRETS_IN_PROMPTS, False]})
TOP = Section(
    "top",
    Snapshot,
    (
        Field(
            "routes",
            _ROUTES,
            "The routes: at least one, unless `manage_routes` is on.",
            "[Below](#a-route).",
            mlflow=True,
        ),
        Field("endpoints", _ROUTES, "The same as `routes`; a file may have both.", mlflow=True),
        Field(
            "defaults",
            Kind(SETTINGS.schema(), "section"),
            "Settings for every route that does not set its own.",
            f"{', '.join(f'`{key}`' for key in SETTINGS.keys)}.",
        ),
        Field(
            "consumers",
            list_of(reference("consumer"), CONSUMERS_MAX, least=1),
            "Who may call, which routes, and how much. Without it every user may call every route, and nobody is "
            "an admin.",
            "[Below](#consumers).",
        ),
        Field(
            "secrets_in_prompts",
            _SECRETS_KIND,
            "What happens to a call whose prompt holds one of the gateway's own keys.",
            "[Below](#secrets-in-prompts).",
        ),
        Field(
            "manage_routes",
            BOOLEAN,
            "Whether admins may manage routes through the API. The list of routes may then be empty.",
        ),
        Field(
            "admission",
            ADMISSION,
            "Concurrent calls in each worker, over all routes.",
            "[Below](#retries-breaker-admission).",
        ),
        Field("cors", CORS, "Which web pages may call the gateway from a browser.", "[Below](#cors).", default="none"),
        Field(
            "store",
            STORE,
            "The Redis or Valkey in which several gateways count limits and budgets together.",
            "[Below](#store).",
            default="none: each machine counts for itself",
        ),
        Field(
            "responses",
            Kind(RESPONSES.schema(), "section", lambda entry, path, scope: RESPONSES.read(entry.value, path, scope)),
            "What the gateway remembers for callers of the Responses API.",
            "[Below](#remembered-responses).",
            default="nothing",
        ),
        Field("mlflow_dialect", DIALECT, "As for a route; it applies to all routes that do not set it.", default="a"),
    ),
    ignored=IGNORED,
)
# What a file of routes managed through the API may have.
ROUTE_FILE: Section[dict[str, Any]] = Section(
    "route file", dict, tuple(each for each in TOP.fields if each.key in LIST_KEYS)
)


def read(root: Node, route_files: Iterable[tuple[Node, Scope]], scope: Scope) -> dict[str, Any]:
    """The arguments of Snapshot but for its hash, routes in the files' order; what is wrong goes to the report and is left
    out."""
    report = scope.report
    entries = TOP.entries(root, "", scope) or {}
    defaults = defaults_of(entries, scope)
    read_routes: dict[str, Route | Split | None] = {}
    names: Names = {}
    some = gather(entries, defaults, names, read_routes, scope)
    for node, its_scope in route_files:
        its_entries = ROUTE_FILE.entries(node, "", its_scope) or {}
        some = gather(its_entries, defaults, names, read_routes, its_scope) or some
    rest = {key: entry for key, entry in entries.items() if key != _DIALECT}
    values = {"routes": resolved(read_routes), **TOP.values(rest, "", scope)}
    if root.kind == "mapping" and not some and not values.get("manage_routes"):
        report.error(root.line, "", "there are no routes", "`routes:` or `endpoints:` holds at least one")
    if "consumers" in root.entries:
        aliases = {alias: name for name, each in values["routes"].items() for alias in each.aliases}
        values["consumers"] = consumers(root.entries["consumers"].value, read_routes, aliases, scope)
    if values.get("store") is not None:
        require_shared_key(values.get("responses"), entries, report)
    return values


def defaults_of(entries: Entries, scope: Scope) -> Settings:
    """The dialect may be at the top too: it is the one setting that is of the gateway as much as of its routes."""
    found = Settings()
    if (entry := entries.get(_DIALECT)) is not None:
        found = found.changed(TOP.values({_DIALECT: entry}, "", scope))
    if (entry := entries.get("defaults")) is not None:
        found = SETTINGS.read(entry.value, "defaults", scope, found) or found
    return found


def gather(
    entries: Entries, defaults: Settings, names: Names, found: dict[str, Route | Split | None], scope: Scope
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
    items = fields.expect_list(node, key, scope.report) or []
    if len(items) > _ROUTES_MAX:
        scope.report.error(node.line, key, f"more than {_ROUTES_MAX:,} routes")
        return []
    return items

"""One item of `routes:` or `endpoints:` -> a Route."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters import FORMATS, Task
from adapters.providers import PROVIDERS
from sidecar.config import fields
from sidecar.config.limits import COSTS, OF_ROUTE, budgets, limits, mlflow_limit, price
from sidecar.config.models import MODELS_KEYS, Targets, targets
from sidecar.config.names import Names, name_of
from sidecar.config.problems import Report, shown
from sidecar.config.settings import SHARED_KEYS, Scope, Settings, settings
from sidecar.config.upstream import header_value, with_settings
from sidecar.config.yaml_tree import Entry, Node
from sidecar.domain.snapshot import Route, Upstream

TYPE_KEYS = ("route_type", "endpoint_type")
# What counts calls and money of one route: it has no default for all of them.
OWN_KEYS = ("limit", "limits", "budgets")
ROUTE_KEYS = (
    "name",
    *TYPE_KEYS,
    *MODELS_KEYS,
    *OWN_KEYS,
    *SHARED_KEYS,
    "price",
    "cost",
    "default_max_tokens",
    "drop_params",
    "headers",
    "completions_api",
)
TYPES: Mapping[str, Task] = {f"llm/v1/{task}": task for task in Task}
# What a completions route calls at the provider, where the provider's row does not fit the model.
COMPLETIONS_APIS = ("chat", "completions")
MAX_TOKENS_MAX = 10_000_000
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)
_OUR_HEADERS = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "accept-encoding"}
    | {"te", "upgrade", "trailer", "keep-alive", "expect"}
)


def route(node: Node, path: str, defaults: Settings, seen: Names, scope: Scope) -> tuple[str | None, Route | None]:
    """Its name, and the route where all of it is right; what is wrong goes to the report."""
    report = scope.report
    entries = fields.mapping(node, path, report, ROUTE_KEYS)
    if entries is None:
        return None, None
    name = name_of(node, entries, path, seen, report)
    task = task_of(node, entries, path, TYPE_KEYS, report)
    said = settings(entries, path, defaults, scope)
    found = targets(node, entries, path, task, said, scope)
    upstreams = _upstreams(entries, path, task, found, report)
    counted = own(node, entries, path, report)
    if name is None or task is None or found is None:
        return name, None
    return name, Route(name, task, upstreams, strategy=found.strategy, **said.of_route(), **counted)


def own(node: Node, entries: Mapping[str, Entry], path: str, report: Report) -> dict[str, Any]:
    """Limits and budgets, as Route has them. MLflow writes `limit:` with nothing behind it where there is none."""
    fields.never_empty(node, path, report, ("limits", "budgets"))
    said = None
    if (entry := entries.get("limit")) is not None:
        said = mlflow_limit(entry.value, f"{path}.limit", report)
    return {
        "mlflow_limit": said,
        "limits": limits(entries, path, OF_ROUTE, report, said),
        "budgets": budgets(entries, path, OF_ROUTE, report),
    }


def task_of(node: Node, entries: Mapping[str, Entry], path: str, keys: tuple[str, ...], report: Report) -> Task | None:
    given = [key for key in keys if key in entries]
    if not given:
        key = keys[-1] if path.startswith("endpoints") else keys[0]
        report.error(node.line, f"{path}.{key}", "is missing")
        return None
    if len(given) == 2:
        report.error(entries[given[1]].line, path, "route_type and endpoint_type mean the same", "keep one")
        return None
    value = entries[given[0]].value
    written = fields.text(value, f"{path}.{given[0]}", report)
    if written is None or written in TYPES:
        return TYPES.get(written or "")
    report.error(value.line, f"{path}.{given[0]}", f"unknown type {_shown_type(written)}", f"known: {', '.join(TYPES)}")
    return None


def _shown_type(written: str) -> str:
    return f'"{written}"' if re.fullmatch(r"[a-z0-9/_.-]{1,32}", written) else shown(written)


def _upstreams(
    entries: Mapping[str, Entry], path: str, task: Task | None, found: Targets | None, report: Report
) -> tuple[Upstream, ...]:
    """With what the route says for all of them."""
    headers, options = _headers(entries, path, report), _options(entries, path, report)
    cost = price(entries["price"].value, f"{path}.price", report) if "price" in entries else None
    counted_by = None
    if (entry := entries.get("cost")) is not None:
        counted_by = fields.word(entry.value, f"{path}.cost", report, COSTS)
    if found is None:
        return ()
    if (entry := entries.get("completions_api")) is not None and task is not None:
        _check_completions_api(entry, f"{path}.completions_api", task, found.upstreams, report)
    made = (with_settings(each, headers, options) for each in found.upstreams)
    return tuple(replace(each, price=each.price or cost, cost=each.cost or counted_by) for each in made)


def _options(entries: Mapping[str, Entry], path: str, report: Report) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if (entry := entries.get("default_max_tokens")) is not None:
        count = fields.integer(entry.value, f"{path}.default_max_tokens", report, 1, MAX_TOKENS_MAX)
        options["default_max_tokens"] = count
    if (entry := entries.get("drop_params")) is not None:
        options["drop_params"] = fields.texts(entry.value, f"{path}.drop_params", report)
    if (entry := entries.get("completions_api")) is not None:
        options["completions_api"] = _completions_api(entry.value, f"{path}.completions_api", report)
    return options


def _check_completions_api(
    entry: Entry, path: str, task: Task, upstreams: tuple[Upstream, ...], report: Report
) -> None:
    if task is not Task.COMPLETIONS:
        report.error(entry.line, path, "is for routes of type llm/v1/completions")
        return
    for name in dict.fromkeys(made.provider for made in upstreams) if entry.value.text == "completions" else ():
        if task not in FORMATS[PROVIDERS[name].format].provider:
            report.error(entry.line, path, f'"{name}" has no completions of its own', "leave it out: chat answers")


def _completions_api(node: Node, path: str, report: Report) -> str | None:
    written = fields.text(node, path, report)
    if written is not None and written not in COMPLETIONS_APIS:
        report.error(node.line, path, "unknown API", f"known: {', '.join(COMPLETIONS_APIS)}")
    return written


def _headers(entries: Mapping[str, Entry], path: str, report: Report) -> tuple[tuple[str, str], ...]:
    entry = entries.get("headers")
    if entry is None:
        return ()
    path = f"{path}.headers"
    if entry.value.kind != "mapping":
        report.error(entry.value.line, path, f"expected a mapping, found {fields.kind_of(entry.value)}")
        return ()
    found: list[tuple[str, str]] = []
    for name, item in entry.value.entries.items():
        if not _HEADER_NAME.fullmatch(name):
            report.error(item.line, path, "a header's name is not legal")
        elif name.lower() in _SECRET_HEADERS:
            report.error(item.line, path, f'"{name}" would hold a secret', "keys belong into model.config")
        elif name.lower() in _OUR_HEADERS:
            report.error(item.line, path, f'"{name}" is set by the gateway')
        elif (value := header_value(item.value, f"{path}.{name}", report)) is not None:
            found.append((name, value))
    return tuple(found)

"""The file's top level and its routes -> Route values."""

from __future__ import annotations

import os.path
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from adapters import FORMATS, Task
from adapters.providers import PROVIDERS
from sidecar.config import _fields as fields
from sidecar.config._problems import Report, shown
from sidecar.config._secrets import Sources
from sidecar.config._tree import Entry, Node
from sidecar.config._upstream import header_value, upstream, with_settings
from sidecar.snapshot import Route, Timeouts, Upstream

LIST_KEYS = ("routes", "endpoints")
TYPE_KEYS = ("route_type", "endpoint_type")
# Settings of ours that stand on a route, or under `defaults:` for all of them.
SHARED_KEYS = ("timeouts", "response_bytes_max", "ca_file", "proxy")
ROUTE_KEYS = (
    "name",
    *TYPE_KEYS,
    "model",
    "limit",
    *SHARED_KEYS,
    "default_max_tokens",
    "drop_params",
    "headers",
    "completions_api",
)
TIMEOUT_KEYS = ("connect", "first_output", "idle", "total")
TYPES: Mapping[str, Task] = {f"llm/v1/{task}": task for task in Task}
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# Below 1 KiB no answer fits; 1 GiB is more than a worker's memory should be trusted with.
RESPONSE_BYTES = (1024, 1024**3)
# What a completions route calls at the provider, where the provider's row does not fit the model.
COMPLETIONS_APIS = ("chat", "completions")
MAX_TOKENS_MAX = 10_000_000
# More routes than this in one file is a generated mistake; 6,001 is the largest MLflow tests.
ROUTES_MAX = 50_000
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)
_OUR_HEADERS = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "accept-encoding"}
    | {"te", "upgrade", "trailer", "keep-alive", "expect"}
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What `defaults:` says, and a route may say otherwise."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    response_bytes_max: int = 64 * 1024 * 1024  # as Route has it; a test compares them
    ca_file: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What every part of one load needs."""

    report: Report
    sources: Sources
    directory: str  # of the config file
    local_base_url: str | None


def routes(root: Node, scope: Scope) -> dict[str, Route]:
    """All routes in the file's order; what is wrong goes to the report and is left out."""
    entries = fields.mapping(root, "", scope.report, (*LIST_KEYS, "defaults"))
    if entries is None:
        return {}
    settings = Settings()
    if "defaults" in entries:
        settings = _defaults(entries["defaults"].value, scope)
    found: dict[str, Route] = {}
    seen: dict[str, int] = {}
    lists = {key: entry for key, entry in entries.items() if key in LIST_KEYS}
    for key, entry in lists.items():
        for index, item in enumerate(_items(key, entry, scope)):
            route = _route(item, f"{key}[{index}]", settings, seen, scope)
            if route is not None:
                found[route.name] = route
    if not any(entry.value.items or entry.value.kind != "list" for entry in lists.values()):
        scope.report.error(root.line, "", "there are no routes", "`routes:` or `endpoints:` holds at least one")
    return found


def _items(key: str, entry: Entry, scope: Scope) -> list[Node]:
    node = entry.value
    if node.kind != "list":
        scope.report.error(node.line, key, f"expected a list, found {fields.kind_of(node)}")
        return []
    if len(node.items) > ROUTES_MAX:
        scope.report.error(node.line, key, f"more than {ROUTES_MAX:,} routes")
        return []
    return node.items


def _defaults(node: Node, scope: Scope) -> Settings:
    entries = fields.mapping(node, "defaults", scope.report, SHARED_KEYS)
    return _settings(entries or {}, "defaults", Settings(), scope)


def _route(node: Node, path: str, defaults: Settings, seen: dict[str, int], scope: Scope) -> Route | None:
    report = scope.report
    if node.kind == "mapping" and (split := node.entries.get("destinations") or node.entries.get("task_type")):
        report.error(split.line, path, "traffic splits (`task_type`, `destinations`) are not supported yet")
        return None
    entries = fields.mapping(node, path, report, ROUTE_KEYS)
    if entries is None:
        return None
    name = _name(node, entries, path, seen, report)
    task = _task(node, entries, path, report)
    settings = _settings(entries, path, defaults, scope)
    target = _target(node, entries, path, task, settings, scope)
    if (limit := entries.get("limit")) is not None:
        report.warn(limit.line, f"{path}.limit", "is read but not enforced yet")
    if name is None or task is None or target is None:
        return None
    return Route(name, task, (target,), settings.timeouts, settings.response_bytes_max)


def _name(node: Node, entries: Mapping[str, Entry], path: str, seen: dict[str, int], report: Report) -> str | None:
    if "name" not in entries:
        report.error(node.line, f"{path}.name", "is missing")
        return None
    value = entries["name"].value
    name = fields.text(value, f"{path}.name", report)
    if name is None:
        return None
    if not NAME.fullmatch(name):
        hint = "1 to 128 letters, digits, _, - and . are allowed"
        report.error(value.line, f"{path}.name", f"{shown(name)} is not a legal name", hint)
        return None
    if name in seen:
        report.error(value.line, f"{path}.name", f'"{name}" is taken', f"first in line {seen[name]}")
        return None
    seen[name] = value.line
    return name


def _task(node: Node, entries: Mapping[str, Entry], path: str, report: Report) -> Task | None:
    given = [key for key in TYPE_KEYS if key in entries]
    if not given:
        key = "endpoint_type" if path.startswith("endpoints") else "route_type"
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


def _target(
    node: Node, entries: Mapping[str, Entry], path: str, task: Task | None, settings: Settings, scope: Scope
) -> Upstream | None:
    headers, options = _headers(entries, path, scope.report), _options(entries, path, scope.report)
    if "model" not in entries:
        scope.report.error(node.line, f"{path}.model", "is missing")
        return None
    made = upstream(entries["model"].value, f"{path}.model", scope.report, scope.sources, task, scope.local_base_url)
    if made is None:
        return None
    if (entry := entries.get("completions_api")) is not None and task is not None:
        _check_completions_api(entry, f"{path}.completions_api", task, made, scope.report)
    if made.provider != "local":
        made = replace(made, ca_file=settings.ca_file, proxy=settings.proxy)
    return with_settings(made, headers, options)


def _settings(entries: Mapping[str, Entry], path: str, settings: Settings, scope: Scope) -> Settings:
    report = scope.report
    changes: dict[str, Any] = {}
    if (entry := entries.get("timeouts")) is not None:
        changes["timeouts"] = _timeouts(entry.value, f"{path}.timeouts", settings.timeouts, report)
    if (entry := entries.get("response_bytes_max")) is not None:
        size = fields.size(entry.value, f"{path}.response_bytes_max", report, *RESPONSE_BYTES)
        changes["response_bytes_max"] = size or settings.response_bytes_max
    if (entry := entries.get("ca_file")) is not None:
        changes["ca_file"] = _ca_file(entry.value, f"{path}.ca_file", scope)
    if (entry := entries.get("proxy")) is not None and fields.url(entry.value, f"{path}.proxy", report):
        changes["proxy"] = entry.value.text.rstrip("/")
    return replace(settings, **changes)


def _timeouts(node: Node, path: str, timeouts: Timeouts, report: Report) -> Timeouts:
    entries = fields.mapping(node, path, report, TIMEOUT_KEYS) or {}
    read = {name: fields.duration(entry.value, f"{path}.{name}", report) for name, entry in entries.items()}
    return replace(timeouts, **{f"{name}_s": seconds for name, seconds in read.items() if seconds is not None})


def _ca_file(node: Node, path: str, scope: Scope) -> str | None:
    """The path as a worker can open it. Whether it holds certificates is checked here, so that no call finds out."""
    written = fields.text(node, path, scope.report)
    if written is None:
        return None
    try:
        content = scope.sources.file(written)
    except OSError as error:
        scope.report.error(node.line, path, f"cannot be read: {error.strerror or type(error).__name__}")
        return None
    if content is None:
        hint = "paths start at the config file's directory"
        scope.report.error(node.line, path, f'file "{written}" does not exist', hint)
    elif "-----BEGIN CERTIFICATE-----" not in content:
        scope.report.error(node.line, path, f'file "{written}" holds no PEM certificate')
    else:
        return os.path.join(scope.directory, written)
    return None


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


def _check_completions_api(entry: Entry, path: str, task: Task, made: Upstream, report: Report) -> None:
    if task is not Task.COMPLETIONS:
        report.error(entry.line, path, "is for routes of type llm/v1/completions")
    elif entry.value.text == "completions" and task not in FORMATS[PROVIDERS[made.provider].format].provider:
        report.error(entry.line, path, f'"{made.provider}" has no completions of its own', "leave it out: chat answers")


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

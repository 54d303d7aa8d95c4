"""One file of a route managed through the API, read by itself: what a change costs must not grow with the number of routes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.config.files import ReadFile
from sidecar.config.names import Names
from sidecar.config.problems import ConfigErrors, Report
from sidecar.config.scope import Scope
from sidecar.config.secrets import Sources
from sidecar.config.settings import Settings
from sidecar.config.split import Split, is_split, resolved
from sidecar.config.top_level import LIST_KEYS, ROUTE_FILE, TOP, defaults_of, gather
from sidecar.config.variables import expand_tree
from sidecar.config.yaml_tree import Node, parse
from sidecar.domain.snapshot import Route


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """What route files need of a main file that was loaded without problems. `splits`: whether it has traffic splits, which
    name other routes, so that a route cannot be judged by itself."""

    settings: Settings
    scope: Scope
    splits: bool


def read_base(
    text: str, env: Mapping[str, str], *, read_file: ReadFile, directory: str, local_base_url: str | None
) -> BaseConfig:
    """Of the main file's text; arguments as `load` has them. Raises ConfigErrors."""
    report = Report("")
    root = parse(text, report)
    expand_tree(root, env, report)
    scope = Scope(report, Sources(env, read_file), directory, local_base_url)
    entries = TOP.entries(root, "", scope) or {}
    return BaseConfig(defaults_of(entries, scope), scope, any(map(is_split, _items(root))))


def load_route_file(text: str, file: str, base: BaseConfig, read_secret: ReadFile) -> Mapping[str, Route] | None:
    """The routes of one file, as `load` with it among `route_files` has them; the caller makes sure that their
    names are free. None: a split or an alias is among them, and only `load` can say. Raises ConfigErrors."""
    report = Report(file)
    scope = Scope(report, Sources({}, _nothing, read_secret), base.scope.directory, base.scope.local_base_url)
    root = parse(text, report)
    if any(is_split(item) or "aliases" in item.entries for item in _items(root)):
        return None
    found: dict[str, Route | Split | None] = {}
    names: Names = {}
    gather(ROUTE_FILE.entries(root, "", scope) or {}, base.settings, names, found, scope)
    routes = resolved(found)
    if report.problems:
        raise ConfigErrors(report.problems)
    return routes


def digest(text: str, route_files: Mapping[str, str]) -> str:
    """Of the main file alone what `sha256sum` says; else of that and each route file's name and content."""
    found = hashlib.sha256(text.encode())
    if route_files:
        parts = [found.digest()]
        for name in sorted(route_files):
            parts += [hashlib.sha256(part.encode()).digest() for part in (name, route_files[name])]
        found = hashlib.sha256(b"".join(parts))
    return found.hexdigest()[:12]


def _items(root: Node) -> list[Node]:
    return [item for key in LIST_KEYS if key in root.entries for item in root.entries[key].value.items]


def _nothing(path: str) -> str | None:
    return None

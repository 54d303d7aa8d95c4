"""Reads the file of a single managed route, so that the cost of a change does not grow with the number of routes."""

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
from sidecar.domain.version import version_of


@dataclass(frozen=True, slots=True)
class BaseConfig:
    """What route files need from a main file that was loaded without problems. `splits`: whether it has traffic
    splits, which refer to other routes, so that a route cannot be validated on its own."""

    settings: Settings
    scope: Scope
    splits: bool


def read_base(
    text: str, env: Mapping[str, str], *, read_file: ReadFile, directory: str, local_base_url: str | None
) -> BaseConfig:
    """Reads the main file's text; arguments as for `load`. Raises ConfigErrors."""
    report = Report("")
    root = parse(text, report)
    expand_tree(root, env, report)
    scope = Scope(report, Sources(env, read_file), directory, local_base_url)
    entries = TOP.entries(root, "", scope) or {}
    return BaseConfig(defaults_of(entries, scope), scope, any(map(is_split, _items(root))))


def load_route_file(text: str, file: str, base: BaseConfig, read_secret: ReadFile) -> Mapping[str, Route] | None:
    """Returns the routes of one file, as `load` would with it among `route_files`; the caller ensures that their
    names are free. Returns None if they include a split or an alias, which only `load` can validate. Raises
    ConfigErrors."""
    report = Report(file)
    sources = Sources({}, _nothing, read_secret)
    scope = Scope(report, sources, base.scope.directory, base.scope.local_base_url, version_of(text))
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
    """For the main file alone, the same as `sha256sum`; otherwise a hash of it and of each route file's name and
    content."""
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

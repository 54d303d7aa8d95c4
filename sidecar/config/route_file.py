"""One file of routes made by call, read by itself: what a change costs must not grow with the number of routes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.config import fields
from sidecar.config.files import ReadFile
from sidecar.config.names import Names
from sidecar.config.problems import ConfigErrors, Report
from sidecar.config.secrets import Sources
from sidecar.config.settings import Scope, Settings
from sidecar.config.split import Split, is_split, resolved
from sidecar.config.top_level import EXTRA_KEYS, LIST_KEYS, TOP_KEYS, defaults_of, gather
from sidecar.config.yaml_tree import Node, parse
from sidecar.domain.snapshot import Route


@dataclass(frozen=True, slots=True)
class Beside:
    """What further files need of a main file that was loaded without problems. `splits`: whether it has traffic splits, which
    name other routes, so that a route cannot be judged by itself."""

    settings: Settings
    scope: Scope
    splits: bool


def beside(
    text: str, env: Mapping[str, str], *, read_file: ReadFile, directory: str, local_base_url: str | None
) -> Beside:
    """Of the main file's text; arguments as `load` has them. Raises ConfigErrors."""
    report = Report("")
    root = parse(text, report)
    scope = Scope(report, Sources(env, read_file), directory, local_base_url)
    entries = fields.mapping(root, "", report, TOP_KEYS) or {}
    return Beside(defaults_of(entries, scope), scope, any(map(is_split, _items(root))))


def load_beside(text: str, file: str, main: Beside, read_secret: ReadFile) -> Mapping[str, Route] | None:
    """The routes of one further file, as `load` with that file as `extra` has them; that their names are free is the caller's
    to know. None: a split is among them, and only `load` can say. Raises ConfigErrors."""
    report = Report(file)
    scope = Scope(report, Sources({}, _nothing, read_secret), main.scope.directory, main.scope.local_base_url)
    root = parse(text, report)
    if any(map(is_split, _items(root))):
        return None
    found: dict[str, Route | Split | None] = {}
    names: Names = {}
    gather(fields.mapping(root, "", report, EXTRA_KEYS) or {}, main.settings, names, found, scope)
    routes = resolved(found)
    if report.problems:
        raise ConfigErrors(report.problems)
    return routes


def digest(text: str, extra: Mapping[str, str]) -> str:
    """Of the main file alone what `sha256sum` says; else of that and each further file's name and content."""
    found = hashlib.sha256(text.encode())
    if extra:
        parts = [found.digest()]
        for name in sorted(extra):
            parts += [hashlib.sha256(part.encode()).digest() for part in (name, extra[name])]
        found = hashlib.sha256(b"".join(parts))
    return found.hexdigest()[:12]


def _items(root: Node) -> list[Node]:
    return [item for key in LIST_KEYS if key in root.entries for item in root.entries[key].value.items]


def _nothing(path: str) -> str | None:
    return None

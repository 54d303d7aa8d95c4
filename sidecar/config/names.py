"""Names of routes and consumers: which are valid, and which are taken, over all files of a load."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sidecar.config import fields
from sidecar.config.kinds import Kind
from sidecar.config.problems import shown, shown_path
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field
from sidecar.config.yaml_tree import Node

# name -> file and line of its first occurrence
Names = dict[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class NameRule:
    """Which names are valid, as a pattern and in words."""

    pattern: re.Pattern[str]
    words: str

    @property
    def kind(self) -> Kind:
        return Kind({"type": "string", "pattern": f"^{self.pattern.pattern}$"}, "name")


# ASCII, as in MLflow 3: 2.x also allowed letters of other scripts, which look alike and do not fit into every URL.
# Slashes and colons occur in names of models: openai/gpt-4o, llama3:8b.
_ROUTE = r"[A-Za-z0-9_.:/-]"
ROUTE_NAME: Final = NameRule(
    re.compile(_ROUTE + r"{1,128}|" + _ROUTE + r"{0,127}\*"),
    "1 to 128 letters, digits, _, -, ., : and / are allowed, and * at the end for a wildcard route",
)
ALIAS: Final = NameRule(re.compile(_ROUTE + r"{1,128}"), "1 to 128 letters, digits, _, -, ., : and / are allowed")
# For a consumer, which may be named after its user: a user's name may be an e-mail address.
CONSUMER_NAME: Final = NameRule(
    re.compile(r"[A-Za-z0-9_.@+-]{1,128}"), "1 to 128 letters, digits, _, -, ., @ and + are allowed"
)


def name_field(rule: NameRule, doc: str, page: str = "") -> Field:
    return Field("name", rule.kind, doc, page, required=True, mlflow=True)


def name_of(entries: Entries, path: str, rule: NameRule, seen: Names, scope: Scope) -> str | None:
    """Returns a valid, unused name, which is used from then on. A missing name is reported elsewhere."""
    if "name" not in entries:
        return None
    return taken(entries["name"].value, f"{path}.name", rule, seen, scope)


def taken(node: Node, path: str, rule: NameRule, seen: Names, scope: Scope) -> str | None:
    """Returns a valid, unused name, which is used from then on; None with a problem reported."""
    report = scope.report
    name = fields.text(node, path, report)
    if name is None:
        return None
    if not rule.pattern.fullmatch(name):
        report.error(node.line, path, f"{shown(name)} is not a valid name", rule.words)
        return None
    if problem := _path_problem(name):
        report.error(node.line, path, f"{shown_path(name)} {problem}")
        return None
    if name in seen:
        file, line = seen[name]
        where = f"line {line}" if file == report.file else f"{file}:{line}"
        report.error(node.line, path, f'"{name}" is taken', f"first in {where}")
        return None
    seen[name] = (report.file, node.line)
    return name


def _path_problem(name: str) -> str:
    """Names are parts of paths: proxies remove dots and double slashes, and some prefixes and suffixes belong to
    other paths."""
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts[:-1]) or parts[-1] in (".", "..") or name.endswith("/"):
        return "cannot be part of a URL: no segment between slashes may be empty, . or .."
    if len(parts) > 1 and parts[0] == "limits":
        return "begins with limits/, which is a different path in MLflow's API"
    if len(parts) > 1 and parts[-1] == "mlflow":
        return "ends in /mlflow, which is a different path in MLflow's API"
    return ""

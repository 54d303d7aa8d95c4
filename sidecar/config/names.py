"""Names of routes: what is legal, and which are taken, over all files of a load."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sidecar.config import fields
from sidecar.config.problems import Report, shown
from sidecar.config.yaml_tree import Entry, Node

# ASCII, as MLflow 3 has it: 2.x also took letters of other scripts, which look alike and do not fit into every URL.
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# name -> file and line where it stands first
Names = dict[str, tuple[str, int]]


def name_of(node: Node, entries: Mapping[str, Entry], path: str, seen: Names, report: Report) -> str | None:
    """A legal name that is not taken, now taken."""
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
        file, line = seen[name]
        where = f"line {line}" if file == report.file else f"{file}:{line}"
        report.error(value.line, f"{path}.name", f'"{name}" is taken', f"first in {where}")
        return None
    seen[name] = (report.file, value.line)
    return name

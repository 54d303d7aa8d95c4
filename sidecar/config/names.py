"""Names of routes and consumers: what is legal, and which are taken, over all files of a load."""

from __future__ import annotations

import re

from sidecar.config import fields
from sidecar.config.kinds import Kind
from sidecar.config.problems import shown
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field

# ASCII, as MLflow 3 has it: 2.x also took letters of other scripts, which look alike and do not fit into every URL.
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# name -> file and line where it is first
Names = dict[str, tuple[str, int]]
_NAME = Kind({"type": "string", "pattern": f"^{NAME.pattern}$"}, "name")


def name_field(doc: str, page: str = "") -> Field:
    return Field("name", _NAME, doc, page, required=True, mlflow=True)


def name_of(entries: Entries, path: str, seen: Names, scope: Scope) -> str | None:
    """A legal name that is not taken, now taken. That it is missing is reported elsewhere."""
    report = scope.report
    if "name" not in entries:
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

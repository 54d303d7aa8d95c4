"""MLflow 3.7's traffic splits: a route whose upstreams are those of other routes, by percentages.

They stand in `routes:` beside or instead of what 2.5 to 2.8 called so, and are told apart by their keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from adapters import Task
from sidecar.config import fields
from sidecar.config.models import UPSTREAMS_MAX
from sidecar.config.names import Names, name_of
from sidecar.config.problems import Report, near_miss, shown
from sidecar.config.route import OWN_KEYS, own, task_of
from sidecar.config.settings import SHARED_KEYS, Scope, Settings, settings
from sidecar.config.yaml_tree import Entry, Node
from sidecar.domain.snapshot import Route

_TELLING = ("task_type", "destinations")
DESTINATION_KEYS = ("name", "traffic_percentage")
ROUTING = ("TRAFFIC_SPLIT",)
# What is an upstream's comes from the destinations.
SPLIT_KEYS = (
    "name",
    *_TELLING,
    "routing_strategy",
    *OWN_KEYS,
    *(key for key in SHARED_KEYS if key not in ("ca_file", "proxy")),
)
_WHOLE = 100


@dataclass(frozen=True, slots=True)
class _Destination:
    name: str
    percentage: int
    line: int
    path: str


@dataclass(frozen=True, slots=True)
class Split:
    """A split as it was read: `route` lacks its upstreams until every route is known."""

    route: Route
    destinations: tuple[_Destination, ...]
    line: int
    path: str
    report: Report


def is_split(node: Node) -> bool:
    return node.kind == "mapping" and any(key in node.entries for key in _TELLING)


def split(node: Node, path: str, defaults: Settings, seen: Names, scope: Scope) -> tuple[str | None, Split | None]:
    """Its name, and the split where it is right as far as it can be told by itself."""
    report = scope.report
    entries = fields.mapping(node, path, report, SPLIT_KEYS)
    if entries is None:
        return None, None
    name = name_of(node, entries, path, seen, report)
    task = task_of(node, entries, path, ("task_type",), report)
    if (entry := entries.get("routing_strategy")) is not None:
        fields.word(entry.value, f"{path}.routing_strategy", report, ROUTING)
    said = settings(entries, path, defaults, scope).of_route()
    said |= own(node, entries, path, report)
    destinations = _destinations(node, entries, f"{path}.destinations", report)
    if name is None or task is None or not destinations:
        return name, None
    route = Route(name, task, (), strategy="weighted", **said)
    return name, Split(route, destinations, node.line, path, report)


def _destinations(
    node: Node, entries: Mapping[str, Entry], path: str, report: Report
) -> tuple[_Destination, ...] | None:
    if "destinations" not in entries:
        report.error(node.line, path, "is missing")
        return None
    value = entries["destinations"].value
    if value.kind != "list" or not value.items:
        found = "an empty one" if value.kind == "list" else fields.kind_of(value)
        report.error(value.line, path, f"expected a list, found {found}")
        return None
    made = [_destination(item, f"{path}[{index}]", report) for index, item in enumerate(value.items)]
    right = tuple(each for each in made if each is not None)
    if len(right) < len(made):
        return None
    first: dict[str, int] = {}
    for each in right:
        if each.name in first:
            report.error(each.line, each.path, f'"{each.name}" stands twice', f"first in line {first[each.name]}")
        first.setdefault(each.name, each.line)
    total = sum(each.percentage for each in right)
    if total != _WHOLE:
        report.error(value.line, path, f"the percentages sum to {total}, not {_WHOLE}")
        return None
    return right


def _destination(node: Node, path: str, report: Report) -> _Destination | None:
    entries = fields.mapping(node, path, report, DESTINATION_KEYS)
    if entries is None:
        return None
    for key in DESTINATION_KEYS:
        if key not in entries:
            report.error(node.line, f"{path}.{key}", "is missing")
    name = fields.text(entries["name"].value, f"{path}.name", report) if "name" in entries else None
    percentage = None
    if (entry := entries.get("traffic_percentage")) is not None:
        percentage = fields.integer(entry.value, f"{path}.traffic_percentage", report, 0, _WHOLE)
    return None if name is None or percentage is None else _Destination(name, percentage, node.line, path)


def resolved(found: Mapping[str, Route | Split | None]) -> dict[str, Route]:
    """Every route, in the same order; splits with their upstreams. What is wrong goes to its report and is left out."""
    routes: dict[str, Route] = {}
    for name, each in found.items():
        made = _resolve(each, found) if isinstance(each, Split) else each
        if made is not None:
            routes[name] = made
    return routes


def _resolve(each: Split, found: Mapping[str, Route | Split | None]) -> Route | None:
    upstreams = []
    for destination in each.destinations:
        target = _target(destination, found, each.route.task, each.report)
        # MLflow sends nothing to a destination of 0; a weight of 0 here would still make it a fallback.
        if target is not None and destination.percentage:
            # Under the destination's name, by which MLflow's clients know it; no two of them have the same.
            upstreams.append(replace(target.upstreams[0], weight=destination.percentage, name=destination.name))
    if len(upstreams) > UPSTREAMS_MAX:
        each.report.error(each.line, f"{each.path}.destinations", f"more than {UPSTREAMS_MAX} that get traffic")
    return replace(each.route, upstreams=tuple(upstreams)) if upstreams else None


def _target(
    destination: _Destination, found: Mapping[str, Route | Split | None], task: Task, report: Report
) -> Route | None:
    path = f"{destination.path}.name"
    if destination.name not in found:
        report.error(
            destination.line, path, f"there is no route {shown(destination.name)}", near_miss(destination.name, found)
        )
        return None
    target = found[destination.name]
    if isinstance(target, Split):
        report.error(destination.line, path, f'"{destination.name}" is a traffic split itself', "name an endpoint")
        return None
    if target is not None and target.task is not task:
        report.error(
            destination.line, path, f'"{destination.name}" is of type llm/v1/{target.task}, this of llm/v1/{task}'
        )
        return None
    return target

"""MLflow 3.7's traffic splits: routes whose upstreams are those of other routes, by percentages.

They are in `routes:`, with or without what 2.5 to 2.8 called so; their keys tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapters import Task
from sidecar.config import fields
from sidecar.config.kinds import TEXT, Kind, choice, integer, list_of
from sidecar.config.limits import ROUTE_LIMITING, limiting
from sidecar.config.models import UPSTREAMS_MAX
from sidecar.config.names import ALIAS, Names, name_field, name_of
from sidecar.config.problems import Report, near_miss, shown
from sidecar.config.route import task_of
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field, Section
from sidecar.config.settings import SETTINGS, UPSTREAM_KEYS, Settings
from sidecar.config.yaml_tree import Node
from sidecar.domain.snapshot import Route
from sidecar.domain.wildcard import is_wildcard

_TELLING = ("task_type", "destinations")
_ROUTING = ("TRAFFIC_SPLIT",)
_WHOLE = 100


@dataclass(frozen=True, slots=True)
class _Destination:
    name: str
    percentage: int
    line: int
    path: str


DESTINATION: Section[dict[str, Any]] = Section(
    "destination",
    dict,
    (
        Field("name", TEXT, "A route of the same type anywhere in the file, but not a split.", required=True),
        Field(
            "traffic_percentage",
            integer(0, _WHOLE),
            "Its share of the calls in percent. All shares add up to 100; with 0 it gets none.",
            required=True,
        ),
    ),
)
SPLIT = Section(
    "split",
    Route,
    (
        name_field(ALIAS, "As for a route, but not a wildcard."),
        Field(
            "task_type",
            Kind({"type": "string", "pattern": "^llm/v1/"}, "type"),
            "The same as `route_type`.",
            required=True,
        ),
        Field(
            "destinations",
            list_of(DESTINATION.schema(), least=1),
            f"The routes that answer. At most {UPSTREAMS_MAX} may get traffic.",
            required=True,
        ),
        Field("routing_strategy", choice(_ROUTING), "The only strategy.", default="TRAFFIC_SPLIT"),
        *ROUTE_LIMITING,
        *(each for each in SETTINGS.fields if each.key not in UPSTREAM_KEYS),
    ),
    "MLflow's traffic split.",
)


@dataclass(frozen=True, slots=True)
class Split:
    """A split as read from the file: `route` lacks its upstreams until every route is known."""

    route: Route
    destinations: tuple[_Destination, ...]
    line: int
    path: str
    report: Report


def is_split(node: Node) -> bool:
    return node.kind == "mapping" and any(key in node.entries for key in _TELLING)


def split(node: Node, path: str, defaults: Settings, seen: Names, scope: Scope) -> tuple[str | None, Split | None]:
    """Returns its name, and the split if it is valid as far as that can be judged on its own."""
    report = scope.report
    entries = SPLIT.entries(node, path, scope)
    if entries is None:
        return None, None
    name = name_of(entries, path, ALIAS, seen, scope)
    task = task_of(node, entries, path, ("task_type",), report) if "task_type" in entries else None
    values = SPLIT.values(entries, path, scope, defaults)
    destinations = _destinations(entries, f"{path}.destinations", scope)
    counted = limiting(values, entries, path, scope)
    if name is None or task is None or not destinations:
        return name, None
    route = Route(name, task, (), strategy="weighted", **defaults.changed(values).of_route(), **counted)
    return name, Split(route, destinations, node.line, path, report)


def _destinations(entries: Entries, path: str, scope: Scope) -> tuple[_Destination, ...] | None:
    report = scope.report
    if "destinations" not in entries:
        return None
    value = entries["destinations"].value
    if value.kind != "list" or not value.items:
        found = "an empty one" if value.kind == "list" else fields.kind_of(value)
        report.error(value.line, path, f"expected a list, found {found}")
        return None
    made = [_destination(item, f"{path}[{index}]", scope) for index, item in enumerate(value.items)]
    right = tuple(each for each in made if each is not None)
    if len(right) < len(made):
        return None
    first: dict[str, int] = {}
    for each in right:
        if each.name in first:
            report.error(
                each.line, each.path, f'duplicate destination "{each.name}"', f"first in line {first[each.name]}"
            )
        first.setdefault(each.name, each.line)
    total = sum(each.percentage for each in right)
    if total != _WHOLE:
        report.error(value.line, path, f"the percentages add up to {total}, not {_WHOLE}")
        return None
    return right


def _destination(node: Node, path: str, scope: Scope) -> _Destination | None:
    values = DESTINATION.read(node, path, scope)
    return None if values is None else _Destination(values["name"], values["traffic_percentage"], node.line, path)


def resolved(found: Mapping[str, Route | Split | None]) -> dict[str, Route]:
    """Returns every route in the same order, with the upstreams of splits. Problems are reported, and those routes
    are omitted."""
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
        # MLflow sends nothing to a destination of 0; here, a weight of 0 would make it a fallback.
        if target is not None and destination.percentage:
            # Upstreams are named after the destination, which MLflow's clients know; destinations are unique.
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
    if is_wildcard(destination.name):
        report.error(
            destination.line, path, f'"{destination.name}" is a wildcard route', "name a route with a fixed model"
        )
        return None
    if isinstance(target, Split):
        report.error(destination.line, path, f'"{destination.name}" is a traffic split itself', "name an endpoint")
        return None
    if target is not None and target.task is not task:
        report.error(
            destination.line,
            path,
            f'"{destination.name}" is of type llm/v1/{target.task}, this split is of llm/v1/{task}',
        )
        return None
    return target

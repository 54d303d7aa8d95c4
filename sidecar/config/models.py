"""`model:`, `fallbacks:`, `models:` and `strategy:` of a route -> its upstreams.

One shape behind all three: a list with a strategy. `model:` is a list of one, `fallbacks:` what follows it in order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from adapters import Task
from sidecar.config import fields
from sidecar.config.limits import COSTS, price
from sidecar.config.settings import Scope, Settings
from sidecar.config.upstream import upstream
from sidecar.config.yaml_tree import Entry, Node
from sidecar.domain.snapshot import Upstream

Strategy = Literal["ordered", "weighted", "least_in_flight"]
MODELS_KEYS = ("model", "fallbacks", "models", "strategy")
STRATEGIES: Final[tuple[Strategy, ...]] = ("ordered", "weighted", "least_in_flight")
# A call tries few of them, and each is a metric label.
UPSTREAMS_MAX = 8
WEIGHT_MAX = 1_000_000
# A header and a metric label: what is not of this shows as "_".
_UNFIT = re.compile(r"[^A-Za-z0-9._:/@+-]")
_NAME_CHARS_MAX = 120


@dataclass(frozen=True, slots=True)
class Targets:
    """What a route's models come to."""

    upstreams: tuple[Upstream, ...]
    strategy: Strategy


def targets(
    node: Node, entries: Mapping[str, Entry], path: str, task: Task | None, settings: Settings, scope: Scope
) -> Targets | None:
    """None with problems reported."""
    report = scope.report
    nodes = _nodes(node, entries, path, scope)
    strategy: Strategy = "ordered"
    if (entry := entries.get("strategy")) is not None:
        said: Strategy | None = fields.word(entry.value, f"{path}.strategy", report, STRATEGIES)
        strategy = said or strategy
        if "models" not in entries:
            report.error(entry.line, f"{path}.strategy", "goes with `models:`", "`fallbacks:` are tried in order")
    if len(nodes) > UPSTREAMS_MAX:
        report.error(nodes[UPSTREAMS_MAX][0].line, path, f"more than {UPSTREAMS_MAX} models")
        return None
    made = [_target(each, place, task, strategy, settings, scope) for each, place in nodes]
    found = [each for each in made if each is not None]
    if not found or len(found) < len(made):
        return None
    if strategy == "weighted" and not any(each.weight for each in found):
        report.error(
            nodes[0][0].line, f"{path}.models", "no model has a weight above 0", "the first choice is by weight"
        )
    return Targets(named(found), strategy)


def _nodes(node: Node, entries: Mapping[str, Entry], path: str, scope: Scope) -> list[tuple[Node, str]]:
    """Each model's node with its path."""
    report = scope.report
    if (entry := entries.get("models")) is not None:
        for key in ("model", "fallbacks"):
            if key in entries:
                report.error(entries[key].line, path, f"{key} and models are two ways to say one thing", "keep one")
        found = _items(entry, f"{path}.models", scope)
        if not found and entry.value.kind == "list":
            report.error(entry.line, f"{path}.models", "is empty")
        return found
    if "model" not in entries:
        report.error(node.line, f"{path}.model", "is missing")
        return []
    first = [(entries["model"].value, f"{path}.model")]
    return first + (_items(entries["fallbacks"], f"{path}.fallbacks", scope) if "fallbacks" in entries else [])


def _items(entry: Entry, path: str, scope: Scope) -> list[tuple[Node, str]]:
    if entry.value.kind != "list":
        scope.report.error(entry.value.line, path, f"expected a list, found {fields.kind_of(entry.value)}")
        return []
    return [(item, f"{path}[{index}]") for index, item in enumerate(entry.value.items)]


def _target(
    node: Node, path: str, task: Task | None, strategy: str, settings: Settings, scope: Scope
) -> Upstream | None:
    made = upstream(node, path, scope.report, scope.sources, task, scope.local_base_url)
    weight = cost = None
    if (entry := _said(node, "weight")) is not None:
        weight = fields.integer(entry.value, f"{path}.weight", scope.report, 0, WEIGHT_MAX)
        if strategy != "weighted":
            scope.report.error(entry.line, f"{path}.weight", "goes with `strategy: weighted`")
    if (entry := _said(node, "price")) is not None:
        cost = price(entry.value, f"{path}.price", scope.report)
    counted_by = None
    if (entry := _said(node, "cost")) is not None:
        counted_by = fields.word(entry.value, f"{path}.cost", scope.report, COSTS)
    if made is None:
        return None
    if made.provider != "local":
        made = replace(made, ca_file=settings.ca_file, proxy=settings.proxy)
    return replace(made, weight=1 if weight is None else weight, price=cost, cost=counted_by)


def _said(node: Node, key: str) -> Entry | None:
    entry = node.entries.get(key)
    return None if entry is None or fields.empty(entry.value) else entry


def named(upstreams: Sequence[Upstream]) -> tuple[Upstream, ...]:
    """With names that tell them apart: the provider where it is there once, else provider/model, else with a number behind.

    A single upstream keeps none: it is called by its provider."""
    if len(upstreams) == 1:
        return (replace(upstreams[0], name=""),)
    providers = Counter(each.provider for each in upstreams)
    taken: set[str] = set()
    found = []
    for each in upstreams:
        short = each.provider if providers[each.provider] == 1 else f"{each.provider}/{each.model}"
        name = short = _UNFIT.sub("_", short)[:_NAME_CHARS_MAX]
        number = 1
        while name in taken:
            number += 1
            name = f"{short}#{number}"
        taken.add(name)
        found.append(replace(each, name=name))
    return tuple(found)

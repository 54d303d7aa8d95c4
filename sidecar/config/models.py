"""`model:`, `fallbacks:`, `models:` and `strategy:` of a route -> its upstreams.

All three are a list with a strategy: `model:` is a list of one, and `fallbacks:` continues it in order.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from adapters import Task
from adapters.providers import PROVIDERS
from sidecar.config import fields
from sidecar.config.kinds import Kind, choice, integer, list_of, reference
from sidecar.config.prices import COST_FIELD, PRICE_FIELD
from sidecar.config.proxies import EnvironmentProxies
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field, Section
from sidecar.config.settings import Settings
from sidecar.config.upstream import upstream
from sidecar.config.yaml_tree import MappingEntry, Node
from sidecar.domain.snapshot import Upstream

Strategy = Literal["ordered", "weighted", "least_in_flight"]
STRATEGIES: Final[tuple[Strategy, ...]] = ("ordered", "weighted", "least_in_flight")
# A call tries few of them, and each is a metric label.
UPSTREAMS_MAX = 8
_WEIGHT_MAX = 1_000_000
# Characters allowed in a header and a metric label; others become "_".
_UNFIT = re.compile(r"[^A-Za-z0-9._:/@+-]")
_NAME_CHARS_MAX = 120


# Any case, `-` and `_` alike, which an enum cannot express.
_PROVIDER = Kind({"anyOf": [{"enum": list(PROVIDERS)}, {"type": "string"}]}, "provider")
MODEL = Section(
    "model",
    Upstream,
    (
        Field(
            "provider",
            _PROVIDER,
            "A provider's name. Case does not matter, and `-` and `_` are the same.",
            "[All providers](#providers-and-modelconfig).",
            required=True,
            mlflow=True,
        ),
        Field(
            "name",
            Kind({"type": "string", "minLength": 1}, "text"),
            "The provider's name for the model.",
            'Quote it if YAML would read it as a number: `"3.5"`.',
            required=True,
            mlflow=True,
        ),
        Field(
            "config",
            Kind({"type": ["object", "null"]}, "mapping"),
            "The provider's settings.",
            "[Below](#providers-and-modelconfig).",
            mlflow=True,
        ),
        Field(
            "weight",
            integer(0, _WEIGHT_MAX),
            "Its share with the strategy `weighted`; with 0 it is tried only if others fail.",
        ),
        PRICE_FIELD,
        COST_FIELD,
    ),
)
_MODEL = Kind(reference("model"), "section")
MODELS = (
    Field(
        "model", _MODEL, "The model that answers.", "[Below](#model). Required, unless `models` is set.", mlflow=True
    ),
    Field(
        "fallbacks",
        list_of(_MODEL.schema, UPSTREAMS_MAX - 1),
        "More models, tried in this order if the model fails.",
        "[Below](#several-models), like the next two keys.",
    ),
    Field(
        "models",
        list_of(_MODEL.schema, UPSTREAMS_MAX, least=1),
        "Several models instead of one; `strategy` decides which is tried first.",
    ),
    Field(
        "strategy",
        choice(STRATEGIES),
        "Which model is tried first: the first that is not ejected, a random one by `weight`, or the one "
        "with the fewest calls in progress. If it fails, the others are tried, as `retries` allow.",
    ),
)


@dataclass(frozen=True, slots=True)
class Targets:
    """The models of a route."""

    upstreams: tuple[Upstream, ...]
    strategy: Strategy


def targets(
    node: Node, entries: Entries, path: str, task: Task | None, settings: Settings, strategy: Strategy, scope: Scope
) -> Targets | None:
    """Returns None with problems reported."""
    report = scope.report
    nodes = _nodes(node, entries, path, scope)
    if "strategy" in entries and "models" not in entries:
        line = entries["strategy"].line
        report.error(line, f"{path}.strategy", "requires `models:`", "`fallbacks:` are tried in order")
    if len(nodes) > UPSTREAMS_MAX:
        report.error(nodes[UPSTREAMS_MAX][0].line, path, f"more than {UPSTREAMS_MAX} models")
        return None
    made = [_target(each, place, task, strategy, settings, scope) for each, place in nodes]
    found = [each for each in made if each is not None]
    if not found or len(found) < len(made):
        return None
    if strategy == "weighted" and not any(each.weight for each in found):
        hint = "the first choice is by weight"
        report.error(nodes[0][0].line, f"{path}.models", "no model has a weight above 0", hint)
    return Targets(named(found), strategy)


def _nodes(node: Node, entries: Entries, path: str, scope: Scope) -> list[tuple[Node, str]]:
    """Yields each model's node with its path."""
    report = scope.report
    if (entry := entries.get("models")) is not None:
        for key in ("model", "fallbacks"):
            if key in entries:
                report.error(entries[key].line, path, f"{key} and models exclude each other", "keep one")
        found = _items(entry, f"{path}.models", scope)
        if not found and entry.value.kind == "list":
            report.error(entry.line, f"{path}.models", "is empty")
        return found
    if "model" not in entries:
        report.error(node.line, f"{path}.model", "is missing")
        return []
    first = [(entries["model"].value, f"{path}.model")]
    return first + (_items(entries["fallbacks"], f"{path}.fallbacks", scope) if "fallbacks" in entries else [])


def _items(entry: MappingEntry, path: str, scope: Scope) -> list[tuple[Node, str]]:
    items = fields.expect_list(entry.value, path, scope.report) or ()
    return [(item, f"{path}[{index}]") for index, item in enumerate(items)]


def _target(
    node: Node, path: str, task: Task | None, strategy: Strategy, settings: Settings, scope: Scope
) -> Upstream | None:
    entries = MODEL.entries(node, path, scope)
    if entries is None:
        return None
    made = upstream(entries, path, task, scope)
    if "weight" in entries and strategy != "weighted":
        scope.report.error(entries["weight"].line, f"{path}.weight", "requires `strategy: weighted`")
    values = MODEL.values(entries, path, scope)
    if made is None:
        return None
    if made.provider != "local":
        proxy = settings.proxy
        of_provider = proxy.of(made.base_url) if isinstance(proxy, EnvironmentProxies) else proxy
        made = replace(
            made, ca_file=settings.ca_file, client_certificate=settings.client_certificate, proxy=of_provider
        )
    return replace(made, **values)


def named(upstreams: Sequence[Upstream]) -> tuple[Upstream, ...]:
    """Gives upstreams distinct names: the provider if it occurs once, else provider/model, else with a number
    appended. A single upstream keeps an empty name, which stands for its provider."""
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

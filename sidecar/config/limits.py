"""`limits:`, `budgets:` and MLflow's `limit:` on a route or a consumer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from llm_gateway_client import periods

from sidecar.config import fields
from sidecar.config.kinds import Kind, Read, Schema, choice, integer, list_of, plain, reference
from sidecar.config.prices import AWAY, WHEN_UNAVAILABLE, budget_section
from sidecar.config.problems import Report
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field, Section
from sidecar.config.yaml_tree import MappingEntry, Node
from sidecar.domain.snapshot import Budget, Limit

UNITS: Final = ("requests", "tokens", "concurrent")
_MLFLOW_SCOPES: Final = ("user", "route", "endpoint")
# Each is a bucket that every call in the scope has to check.
SCOPE_MAX = 16
# A bucket counts in nanoseconds: with more units per period, an interval would round to zero.
COUNT_MAX = 1_000_000_000
# Maximum count of a limit, of any unit.
_MORE = ("each", "when_unavailable", "mode")
# `per:` also accepts the form "30s".
LETTERS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_SHORT = re.compile(r"([0-9]* ?)([smhd])")

_Item = TypeVar("_Item", Limit, Budget)
MlflowLimit = tuple[int, str, str | None]  # calls, renewal_period, key


def _period(node: Node, path: str, report: Report) -> int | None:
    text = node.text if node.kind == "scalar" else ""
    short = _SHORT.fullmatch(text)
    seconds = period_s(short[1] + LETTERS[short[2]] if short else text)
    if seconds is None:
        report.error(node.line, path, f'expected {periods.WORDS}, or such as "10 minutes", up to 5 years')
    return seconds


def _mlflow_period(node: Node, path: str, report: Report) -> str | None:
    """Returns the text as written, since MLflow's clients read it back."""
    written = node.text if node.kind == "scalar" else ""
    if period_s(written) is not None:
        return written
    report.error(node.line, path, "unknown period", f'{periods.WORDS}, or such as "10 minutes"')
    return None


def period_s(written: str) -> int | None:
    """Returns the seconds of a period; None if it is invalid, or longer than a limit allows."""
    try:
        seconds = periods.seconds_of(written)
    except ValueError:
        return None
    return seconds if seconds <= periods.SECONDS_MAX else None


_PERIOD = Kind(
    {"type": "string", "pattern": f"^([0-9]+ *)?({'|'.join(LETTERS)}|({'|'.join(periods.SECONDS)})s?)$"},
    "period",
    plain(_period),
    f'{periods.WORDS}, or such as "10 minutes" and "30s"; up to 5 years. A month has 30 days, a year 360.',
    unit="_s",
)
MLFLOW_LIMIT: Section[MlflowLimit] = Section(
    "mlflow_limit",
    lambda calls, renewal_period, key=None: (calls, renewal_period, key),
    (
        Field("calls", integer(1, COUNT_MAX), "The number of calls.", required=True),
        Field(
            "renewal_period",
            Kind({"type": "string"}, "period", plain(_mlflow_period)),
            "The period, as `per` of limits, without the short units.",
            required=True,
        ),
        Field(
            "key",
            choice(_MLFLOW_SCOPES, schema={"enum": [*_MLFLOW_SCOPES, None]}),
            "`user`: each consumer has its own limit; otherwise all share one.",
            default="all share one",
        ),
    ),
    "MLflow's rate limit.",
    shared=True,
)


def limit_of(calls: int, renewal_period: str, key: str | None) -> Limit:
    """Converts MLflow's limit. Key "user": each consumer of the route has a separate one; otherwise all share one.

    Raises ValueError for a period or a count that the config refuses too.
    """
    per_s = period_s(renewal_period)
    if per_s is None or not 1 <= calls <= COUNT_MAX:
        raise ValueError("unknown renewal_period, or calls out of range")
    return Limit("requests", calls, per_s, key == "user")


@dataclass(frozen=True, slots=True, eq=False)
class Limiting:
    """`limits:` and `budgets:` of a route or a consumer. `each` names the other one, for separate limits per item."""

    of: Literal["route", "consumer"]
    each: Literal["consumer", "route"]
    limit: Section[dict[str, Any]] = field(init=False)
    budget: Section[Budget] = field(init=False)
    fields: tuple[Field, ...] = field(init=False)

    def __post_init__(self) -> None:
        each = Kind({"const": self.each}, f"`{self.each}`", self._each, text=lambda value: "")
        object.__setattr__(self, "limit", _limit_section(self.of, each))
        object.__setattr__(self, "budget", budget_section(self.of, each))
        either: Schema = {"anyOf": [reference(name) for name in (f"{self.of}_limit", "mlflow_limit")]}
        rows = (
            Field(
                "limits",
                list_of(either, SCOPE_MAX, _items_of(self._limit, lambda limit: (limit.unit, limit.per_s, limit.each))),
                "Numbers of requests or tokens in a period, or of concurrent calls.",
                "[Below](#limits).",
                never_empty=True,
            ),
            Field(
                "budgets",
                list_of(
                    reference(f"{self.of}_budget"),
                    SCOPE_MAX,
                    _items_of(self._budget, lambda budget: (budget.per, budget.each)),
                ),
                "Amounts of money for a calendar day or month (UTC).",
                "[Below](#budgets-and-prices).",
                never_empty=True,
            ),
        )
        object.__setattr__(self, "fields", rows)

    def _each(self, entry: MappingEntry, path: str, scope: Scope) -> bool | None:
        if entry.value.kind == "scalar" and entry.value.text == self.each:
            return True
        hint = f"on a {self.of}, write `each: {self.each}`, or omit it for a shared limit"
        scope.report.error(entry.line, path, "unknown word", hint)
        return None

    def _budget(self, node: Node, path: str, scope: Scope) -> Budget | None:
        return self.budget.read(node, path, scope)

    def _limit(self, node: Node, path: str, scope: Scope) -> Limit | None:
        if node.kind == "mapping" and "calls" in node.entries:
            mlflow = MLFLOW_LIMIT.read(node, path, scope)
            return None if mlflow is None else limit_of(*mlflow)
        entries = self.limit.entries(node, path, scope)
        if entries is None:
            return None
        units = [unit for unit in UNITS if unit in entries]
        if len(units) != 1:
            hint = "write each limit as a separate item"
            scope.report.error(node.line, path, f"needs one of {', '.join(UNITS)}", hint)
            return None
        (unit,) = units
        values = self.limit.values(entries, path, scope)
        if unit == "concurrent" and "per" in entries:
            words = "does not apply to concurrent calls"
            scope.report.error(entries["per"].line, f"{path}.per", words)
        elif unit != "concurrent" and "per" not in entries:
            scope.report.error(node.line, f"{path}.per", "is missing", periods.WORDS)
        if unit == "concurrent" and values.get("mode") == "leased":
            words = "must be exact for concurrent calls, which cannot be leased"
            scope.report.error(entries["mode"].line, f"{path}.mode", words)
        per_s = 0 if unit == "concurrent" else values.get("per_s")
        if unit not in values or per_s is None:
            return None
        return Limit(unit, values[unit], per_s, **{key: values[key] for key in _MORE if key in values})


def _limit_section(of: str, each: Kind) -> Section[dict[str, Any]]:
    count = integer(1, COUNT_MAX)
    return Section(
        f"{of}_limit",
        dict,
        (
            Field("requests", count, "Calls per period."),
            Field("tokens", count, "Tokens per period, input and output together."),
            Field("concurrent", count, "Concurrent calls. A limit has exactly one of these three keys."),
            Field("per", _PERIOD, "The period; not with `concurrent`."),
            Field("each", each, "Each consumer (or route) has its own limit; without it, all share one."),
            Field("when_unavailable", WHEN_UNAVAILABLE, AWAY, default="local_share"),
            Field(
                "mode",
                choice(("exact", "leased")),
                "With a `store`: every call asks it (`exact`), or workers hold slices of the limit (`leased`); not "
                "for `concurrent`.",
                default="exact",
            ),
        ),
        "A number of requests or tokens in a period, or of concurrent calls.",
    )


def _items_of(read: Callable[[Node, str, Scope], _Item | None], same: Callable[[_Item], object]) -> Read:
    """A reader of lists, given a reader of items. No two items may be the `same`."""

    def read_list(entry: MappingEntry, path: str, scope: Scope) -> tuple[_Item, ...] | None:
        items = fields.expect_list(entry.value, path, scope.report)
        found: list[_Item] = []
        lines: dict[object, int] = {}
        for index, item in enumerate(items or ()):
            made = read(item, f"{path}[{index}]", scope)
            if made is None:
                continue
            what = same(made)
            if what in lines:
                scope.report.error(item.line, f"{path}[{index}]", f"limits the same as line {lines[what]}", "keep one")
            lines.setdefault(what, item.line)
            found.append(made)
        if len(found) > SCOPE_MAX:
            _too_many(entry, path, scope)
        return tuple(found)

    return read_list


def _too_many(entry: MappingEntry, path: str, scope: Scope) -> None:
    scope.report.error(entry.line, path, f"more than {SCOPE_MAX} {path.rpartition('.')[2]}")


OF_ROUTE: Final = Limiting("route", "consumer")
OF_CONSUMER: Final = Limiting("consumer", "route")
# What counts calls and money of one route. MLflow writes `limit:` without a value if there is none.
ROUTE_LIMITING = (
    Field(
        "limit",
        Kind(
            {"anyOf": [MLFLOW_LIMIT.shape(), {"type": "null"}]},
            "section",
            lambda entry, path, scope: MLFLOW_LIMIT.read(entry.value, path, scope),
        ),
        "MLflow's rate limit.",
        "[Below](#limits).",
        "mlflow_limit",
        mlflow=True,
    ),
    *OF_ROUTE.fields,
)


def limiting(values: Mapping[str, Any], entries: Entries, path: str, scope: Scope) -> dict[str, Any]:
    """The attributes of Route for the values of ROUTE_LIMITING. MLflow's limit also becomes the first of the
    limits."""
    mlflow: MlflowLimit | None = values.get("mlflow_limit")
    limits: tuple[Limit, ...] = values.get("limits", ())
    if mlflow is not None:
        limits = (limit_of(*mlflow), *limits)
        if len(limits) == SCOPE_MAX + 1:
            _too_many(entries["limits"], f"{path}.limits", scope)
    return {"mlflow_limit": mlflow, "limits": limits, "budgets": values.get("budgets", ())}

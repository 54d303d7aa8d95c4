"""Money: `budgets:`, `price:` and `cost:`. Parsed from decimal text, never through a float."""

from __future__ import annotations

from typing import Final, Literal

from adapters import AUTO, TIER
from sidecar.config import fields
from sidecar.config.kinds import SHARE, Kind, choice, plain
from sidecar.config.problems import Report, shown
from sidecar.config.scope import Scope
from sidecar.config.section import Field, Section, join
from sidecar.config.yaml_tree import MappingEntry, Node
from sidecar.domain.snapshot import Budget, Price

_BUDGET_PERIODS: Final = ("day", "month")
_COSTS: tuple[Literal["tokens", "provider"], ...] = ("tokens", "provider")
# More than anyone's bill; in micro-dollars far below 2**63.
_DOLLARS_MAX = 1_000_000_000
_MICRO_DIGITS = 6


def _dollars(node: Node, path: str, report: Report) -> int | None:
    """Reads dollars as micro-dollars."""
    micro = fields.decimal(node, _MICRO_DIGITS)
    if micro is not None and micro <= _DOLLARS_MAX * 10**_MICRO_DIGITS:
        return micro
    report.error(node.line, path, "expected dollars such as 12.50, with at most six decimals")
    return None


def _spendable(node: Node, path: str, report: Report) -> int | None:
    """Reads micro-dollars above zero."""
    micro = _dollars(node, path, report)
    if micro == 0:
        report.error(node.line, path, "must be more than 0", "use `deny` to keep a consumer from a route")
    return micro or None


_SHAPE = {
    "oneOf": [
        {"type": "number", "minimum": 0, "maximum": _DOLLARS_MAX},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
    ]
}
_WRITTEN = "In dollars, with at most six decimals."
DOLLARS = Kind(_SHAPE, "dollars", plain(_dollars), _WRITTEN)
_SPENDABLE = Kind(_SHAPE, "dollars above 0", plain(_spendable), _WRITTEN)

_OF_TOKENS = (
    Field("input", DOLLARS, "Tokens of the prompt.", required=True, hint="0 is a price too"),
    Field("output", DOLLARS, "Tokens of the answer, including reasoning.", required=True, hint="0 is a price too"),
    Field("cached_input", DOLLARS, "Tokens read from the provider's cache.", default="as input"),
    Field("cache_write", DOLLARS, "Tokens written to the provider's cache.", default="as input"),
    Field(
        "cache_write_1h",
        DOLLARS,
        "Tokens written to the provider's cache for an hour.",
        default="twice the input, or `cache_write` if that is more",
    ),
)
_TIER_PRICE = Section("tier_price", Price, _OF_TOKENS, "Dollars per million tokens in a service tier.")
# Providers have three or four.
_TIERS_MAX = 16


def _tiers(entry: MappingEntry, path: str, scope: Scope) -> tuple[tuple[str, Price], ...] | None:
    node, report = entry.value, scope.report
    if node.kind != "mapping":
        report.error(node.line, path, f"expected a mapping, found {fields.kind_of(node)}")
        return None
    if len(node.entries) > _TIERS_MAX:
        report.error(node.line, path, f"more than {_TIERS_MAX} tiers")
        return None
    found: list[tuple[str, Price]] = []
    for name, each in node.entries.items():
        if name == AUTO or not TIER.fullmatch(name):
            hint = "use the provider's name in lower case, such as flex or priority"
            report.error(each.line, path, f"{shown(name)} is not a service tier", hint)
        elif (price := _TIER_PRICE.read(each.value, join(path, name), scope)) is not None:
            found.append((name, price))
    return tuple(found)


_TIERS = Kind(
    {
        "type": "object",
        "propertyNames": {"pattern": f"^{TIER.pattern}$", "not": {"const": AUTO}},
        "additionalProperties": _TIER_PRICE.schema(),
        "maxProperties": _TIERS_MAX,
    },
    "section",
    _tiers,
    text=lambda value: "",
)
PRICE = Section(
    "price",
    Price,
    (
        *_OF_TOKENS,
        Field(
            "tiers",
            _TIERS,
            "Prices of the provider's service tiers, by the provider's names: `{flex: {input: 1, output: 4}}`.",
            "The tier that the answer names is charged.",
        ),
    ),
    "Dollars per million tokens, instead of the built-in price table.",
    shared=True,
)
PRICE_FIELD = Field(
    "price", PRICE, "Dollars per million tokens.", "[Below](#budgets-and-prices).", default="from the price table"
)
COST_FIELD = Field(
    "cost",
    choice(_COSTS),
    "What counts as spent: tokens times the price, or the cost that the provider reports.",
    "[Below](#budgets-and-prices).",
    default="tokens",
)


# `per:` is a word of the calendar.
WHEN_UNAVAILABLE = choice(("deny", "local_share", "allow"))
AWAY = "With a `store`: what happens while it is down. Calls are refused, held to this gateway's share of the limit, or admitted."


def budget_section(scope_name: str, each: Kind) -> Section[Budget]:
    """`each` differs between routes and consumers."""
    return Section(
        f"{scope_name}_budget",
        Budget,
        (
            Field("dollars", _SPENDABLE, "The amount that may be spent.", attribute="micro_dollars", required=True),
            Field("per", choice(_BUDGET_PERIODS), "The calendar day or month, in UTC.", required=True),
            Field("soft", SHARE, "From this share of the budget on, answers carry a warning."),
            Field("each", each, "Each consumer (or route) has its own budget; without it, all share one."),
            Field("when_unavailable", WHEN_UNAVAILABLE, AWAY),
        ),
        "Money that may be spent per calendar day or month (UTC).",
    )

"""How much: `limits:`, `budgets:`, `price:`, and MLflow's `limit:`. Money is read as decimal text and never becomes a float."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, TypeVar

from sidecar.config import fields
from sidecar.config.problems import Report
from sidecar.config.yaml_tree import Entry, Node
from sidecar.domain import periods
from sidecar.domain.snapshot import Budget, Limit, Price

UNITS: Final = ("requests", "tokens", "concurrent")
LIMIT_KEYS = (*UNITS, "per", "each")
BUDGET_KEYS = ("dollars", "per", "soft", "each")
BUDGET_PERIODS: Final = ("day", "month")
PRICE_KEYS = ("input", "output", "cached_input", "cache_write", "cache_write_1h")
COSTS: tuple[Literal["tokens", "provider"], ...] = ("tokens", "provider")
MLFLOW_LIMIT_KEYS = ("calls", "renewal_period", "key")
MLFLOW_SCOPES: Final = ("user", "route", "endpoint")
# Each is a bucket that every call of the scope has to ask.
SCOPE_MAX = 16
# A bucket's word counts nanoseconds: more in a period would round to none.
COUNT_MAX = 1_000_000_000
# What `per:` knows besides the words: "30s".
LETTERS = {"s": "second", "m": "minute", "h": "hour", "d": "day"}
_SHORT = re.compile(r"([0-9]* ?)([smhd])")
# Nobody's bill is higher; in micro-dollars it is far below 2**63.
DOLLARS_MAX = 1_000_000_000
_MICRO_DIGITS = 6

_Found = TypeVar("_Found", Limit, Budget)


class ScopeWords(NamedTuple):
    """What `each:` says on a route or on a consumer."""

    each: Literal["consumer", "route"]
    of: str


OF_ROUTE: Final = ScopeWords("consumer", "route")
OF_CONSUMER: Final = ScopeWords("route", "consumer")


MlflowLimit = tuple[int, str, str | None]  # calls, renewal_period, key


def limits(
    entries: Mapping[str, Entry], path: str, words: ScopeWords, report: Report, mlflow: MlflowLimit | None = None
) -> tuple[Limit, ...]:
    """Of `limits:`, behind what MLflow's `limit:` says where it stands there too."""
    found = _list(entries.get("limits"), f"{path}.limits", words, report, _limit)
    if mlflow is not None:
        found = (limit_of(*mlflow), *found)
    if len(found) > SCOPE_MAX:
        report.error(entries["limits"].line, f"{path}.limits", f"more than {SCOPE_MAX} limits")
    return found


def budgets(entries: Mapping[str, Entry], path: str, words: ScopeWords, report: Report) -> tuple[Budget, ...]:
    entry = entries.get("budgets")
    found = _list(entry, f"{path}.budgets", words, report, _budget)
    if entry is not None and len(found) > SCOPE_MAX:
        report.error(entry.line, f"{path}.budgets", f"more than {SCOPE_MAX} budgets")
    return found


def _list(
    entry: Entry | None,
    path: str,
    words: ScopeWords,
    report: Report,
    read: Callable[[Node, str, ScopeWords, Report], _Found | None],
) -> tuple[_Found, ...]:
    if entry is None:
        return ()
    node = entry.value
    if node.kind != "list":
        report.error(node.line, path, f"expected a list, found {fields.kind_of(node)}")
        return ()
    found: list[_Found] = []
    lines: dict[object, int] = {}
    for index, item in enumerate(node.items):
        made = read(item, f"{path}[{index}]", words, report)
        if made is None:
            continue
        what = (made.unit, made.per_s, made.each) if isinstance(made, Limit) else (made.per, made.each)
        if what in lines:
            report.error(item.line, f"{path}[{index}]", f"limits the same as line {lines[what]}", "keep one")
        lines.setdefault(what, item.line)
        found.append(made)
    return tuple(found)


def _limit(node: Node, path: str, words: ScopeWords, report: Report) -> Limit | None:
    if node.kind == "mapping" and "calls" in node.entries:
        said = mlflow_limit(node, path, report)
        return None if said is None else limit_of(*said)
    entries = fields.mapping(node, path, report, LIMIT_KEYS)
    if entries is None:
        return None
    units = [unit for unit in UNITS if unit in entries]
    if len(units) != 1:
        report.error(node.line, path, f"needs one of {', '.join(UNITS)}", "each limit is an item of its own")
        return None
    (unit,) = units
    count = fields.integer(entries[unit].value, f"{path}.{unit}", report, 1, COUNT_MAX)
    each = _each(entries, path, words, report)
    per_s: int | None = 0
    if unit == "concurrent":
        if "per" in entries:
            report.error(entries["per"].line, f"{path}.per", "is not for concurrent: that counts what is under way")
    elif "per" not in entries:
        report.error(node.line, f"{path}.per", "is missing", periods.WORDS)
        per_s = None
    else:
        per_s = _period(entries["per"].value, f"{path}.per", report)
    return None if count is None or per_s is None else Limit(unit, count, per_s, each)


def _each(entries: Mapping[str, Entry], path: str, words: ScopeWords, report: Report) -> bool:
    entry = entries.get("each")
    if entry is None:
        return False
    if entry.value.kind != "scalar" or entry.value.text != words.each:
        hint = f"on a {words.of} it is `each: {words.each}`, or left out for all together"
        report.error(entry.line, f"{path}.each", "unknown word", hint)
    return True


def _period(node: Node, path: str, report: Report) -> int | None:
    text = node.text if node.kind == "scalar" else ""
    short = _SHORT.fullmatch(text)
    seconds = period_s(short[1] + LETTERS[short[2]] if short else text)
    if seconds is None:
        report.error(node.line, path, f'expected {periods.WORDS}, or such as "10 minutes", up to 5 years')
    return seconds


def mlflow_limit(node: Node, path: str, report: Report) -> MlflowLimit | None:
    """MLflow's calls, renewal_period and key, checked."""
    entries = fields.mapping(node, path, report, MLFLOW_LIMIT_KEYS)
    if entries is None:
        return None
    for key in ("calls", "renewal_period"):
        if key not in entries:
            report.error(node.line, f"{path}.{key}", "is missing")
    calls = period = key_said = None
    if (entry := entries.get("calls")) is not None:
        calls = fields.integer(entry.value, f"{path}.calls", report, 1, COUNT_MAX)
    if (entry := entries.get("renewal_period")) is not None:
        period = entry.value.text if entry.value.kind == "scalar" else ""
        if period_s(period) is None:
            hint = f'{periods.WORDS}, or such as "10 minutes"'
            report.error(entry.value.line, f"{path}.renewal_period", "unknown period", hint)
            period = None
    if (entry := entries.get("key")) is not None:
        key_said = fields.word(entry.value, f"{path}.key", report, MLFLOW_SCOPES)
    return None if calls is None or period is None else (calls, period, key_said)


def period_s(written: str) -> int | None:
    """Seconds of a period; None where it is none, or longer than a limit can be."""
    try:
        seconds = periods.seconds_of(written)
    except ValueError:
        return None
    return seconds if seconds <= periods.SECONDS_MAX else None


def limit_of(calls: int, renewal_period: str, key: str | None) -> Limit:
    """What MLflow's limit means here. Key "user": each consumer of the route has its own; else all share one.

    Raises ValueError for a period or a count that the config refuses too."""
    per_s = period_s(renewal_period)
    if per_s is None or not 1 <= calls <= COUNT_MAX:
        raise ValueError("unknown renewal_period, or calls out of range")
    return Limit("requests", calls, per_s, key == "user")


def _budget(node: Node, path: str, words: ScopeWords, report: Report) -> Budget | None:
    entries = fields.mapping(node, path, report, BUDGET_KEYS)
    if entries is None:
        return None
    for key in ("dollars", "per"):
        if key not in entries:
            report.error(node.line, f"{path}.{key}", "is missing")
    micro = soft = None
    per: Literal["day", "month"] | None = None
    if (entry := entries.get("dollars")) is not None:
        micro = dollars(entry.value, f"{path}.dollars", report)
        if micro == 0:
            report.error(entry.line, f"{path}.dollars", "must be more than 0", "`deny` keeps a consumer from a route")
    if (entry := entries.get("per")) is not None:
        per = fields.word(entry.value, f"{path}.per", report, BUDGET_PERIODS)
    if (entry := entries.get("soft")) is not None:
        soft = fields.share(entry.value, f"{path}.soft", report)
    each = _each(entries, path, words, report)
    if not micro or per is None:
        return None
    return Budget(micro, per, each=each) if soft is None else Budget(micro, per, soft, each)


def dollars(node: Node, path: str, report: Report) -> int | None:
    """Micro-dollars."""
    micro = fields.decimal(node, _MICRO_DIGITS)
    if micro is not None and micro <= DOLLARS_MAX * 10**_MICRO_DIGITS:
        return micro
    report.error(node.line, path, "expected dollars such as 12.50, with at most six decimals")
    return None


def price(node: Node, path: str, report: Report) -> Price | None:
    """Dollars a million tokens, as micro-dollars."""
    entries = fields.mapping(node, path, report, PRICE_KEYS)
    if entries is None:
        return None
    for key in ("input", "output"):
        if key not in entries:
            report.error(node.line, f"{path}.{key}", "is missing", "0 is a price too")
    found = {name: dollars(entry.value, f"{path}.{name}", report) for name, entry in entries.items()}
    first, second = found.get("input"), found.get("output")
    if first is None or second is None:
        return None
    return Price(
        first,
        second,
        found.get("cached_input"),
        found.get("cache_write"),
        cache_write_1h=found.get("cache_write_1h"),
    )

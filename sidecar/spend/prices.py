"""Prices of models for upstreams that configure none, from the table of `genai-prices`.

Runs in the supervisor when it reads a configuration: workers find every price in their snapshot and never load the
table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from adapters import Task
from adapters.providers import PROVIDERS
from sidecar.domain.snapshot import Price, Route, Snapshot, Upstream
from sidecar.domain.wildcard import STAR

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

# Our providers -> the table's. If a provider's address is changed in the config, someone else bills, so there is no
# price.
_TABLE: Final = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "mistral": "mistral",
    "groq": "groq",
    "together": "together",
    "deepseek": "deepseek",
    "xai": "x-ai",
    "openrouter": "openrouter",
    "fireworks": "fireworks",
    "perplexity": "perplexity",
    "cerebras": "cerebras",
    "gemini": "google",
    "cohere": "cohere",
    "cohere-v1": "cohere",
    "databricks": "databricks",
}
# Runs on this machine, so it costs nothing.
_FREE: Final = frozenset({"local"})
_MICRO = 1_000_000


def with_prices(snapshot: Snapshot, now_s: float, before: tuple[Snapshot, Snapshot] | None = None) -> Snapshot:
    """Returns the snapshot with a price for every upstream whose price as of `now_s` is known.

    `before`: an earlier snapshot, without and with prices. Routes that are the same object there stay the same here,
    so that changing one route remains a small change.
    """
    known: dict[tuple[str, str, Task], Price | None] = {}
    bare, priced = ({}, {}) if before is None else (before[0].routes, before[1].routes)
    routes = {
        name: priced[name] if bare.get(name) is route else _priced_route(route, known, now_s)
        for name, route in snapshot.routes.items()
    }
    return replace(snapshot, routes=routes)


def _priced_route(route: Route, known: dict[tuple[str, str, Task], Price | None], now_s: float) -> Route:
    upstreams = tuple(_priced(each, route.task, known, now_s) for each in route.upstreams)
    unchanged = all(new is old for new, old in zip(upstreams, route.upstreams, strict=True))
    return route if unchanged else replace(route, upstreams=upstreams)


def _priced(upstream: Upstream, task: Task, known: dict[tuple[str, str, Task], Price | None], now_s: float) -> Upstream:
    if upstream.price is not None:
        return upstream
    own = PROVIDERS[upstream.provider].base_url
    if own is not None and upstream.base_url != own:
        return upstream
    if STAR in upstream.model:
        return replace(upstream, price_rules=table_rules(upstream.provider, task, now_s))
    key = (upstream.provider, upstream.model, task)
    if key not in known:
        known[key] = table_price(*key, now_s)
    return upstream if known[key] is None else replace(upstream, price=known[key])


def table_price(provider: str, model: str, task: Task, now_s: float) -> Price | None:
    """None if the table does not know the model, or does not price it by tokens."""
    if provider in _FREE:
        return Price(0, 0)
    if provider not in _TABLE:
        return None
    from genai_prices import Usage, calc_price

    at = datetime.fromtimestamp(now_s, UTC)
    try:
        found = calc_price(
            Usage(input_tokens=1, output_tokens=1),
            model_ref=model,
            provider_id=_TABLE[provider],
            genai_request_timestamp=at,
        ).model
    except (LookupError, ValueError):
        return None
    return _with_tiers(found, task, at)


def _with_tiers(model: ModelInfo, task: Task, at: datetime) -> Price | None:
    """The price of a row, including its service tiers with a different price."""
    price = price_of(model.get_prices(at), task)
    if price is None or task is Task.EMBEDDINGS:
        return price
    names = dict.fromkeys(each.when["service_tier"] for each in model.price_variants or () if _is_tier(each.when))
    priced = ((name, price_of(model.get_prices(at, {"service_tier": name}), task)) for name in names)
    return replace(price, tiers=tuple((name, each) for name, each in priced if each is not None and each != price))


def _is_tier(when: Mapping[str, str]) -> bool:
    return when.keys() == {"service_tier"}


def table_rules(provider: str, task: Task, now_s: float) -> tuple[tuple[str, Price], ...]:
    """All models of a provider that the table prices by tokens, in the table's order: a pattern to search for in
    the lower-case model name, and its price."""
    if provider not in _TABLE:
        return ()
    from genai_prices.data_snapshot import get_snapshot

    providers = {each.id: each for each in get_snapshot().providers}
    own = providers[_TABLE[provider]]
    at = datetime.fromtimestamp(now_s, UTC)
    rules = []
    for each in (own, *(providers[name] for name in own.fallback_model_providers or () if name in providers)):
        for model in each.models:
            price = _with_tiers(model, task, at)
            if price is not None:
                rules.append((_pattern(model.match), price))
    return tuple(rules)


def _pattern(match: Any) -> str:
    """The table's match logic for a model name as one regular expression."""
    for attribute, before, after in _CLAUSES:
        if hasattr(match, attribute):
            return f"{before}{re.escape(getattr(match, attribute).lower())}{after}"
    if hasattr(match, "regex"):
        return f"(?:{match.regex})"
    if hasattr(match, "or_"):
        return f"(?:{'|'.join(map(_pattern, match.or_))})"
    return r"\A" + "".join(f"(?=.*?{_pattern(each)})" for each in match.and_)


_CLAUSES = (("equals", r"\A", r"\Z"), ("starts_with", r"\A", ""), ("ends_with", "", r"\Z"), ("contains", "", ""))


def price_of(found: ModelPrice, task: Task) -> Price | None:
    """Converts a row of the table to a price; its steps become `above`."""
    members: dict[str, Any] = {key: getattr(found, key, None) for key in _MEMBERS}
    if members["input_mtok"] is None or (members["output_mtok"] is None and task is not Task.EMBEDDINGS):
        return None
    call = members.pop("requests_kcount") or 0
    steps = sorted({tier.start for value in members.values() for tier in getattr(value, "tiers", ())})
    first, *others = (_at(members.values(), start, math.ceil(call * _MICRO / 1000)) for start in (0, *steps))
    return replace(first, above=tuple(zip(steps, others, strict=True)))


_MEMBERS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "requests_kcount")


def _at(values: Iterable[Any], start: int, call: int) -> Price:
    """The price of a call with more than `start` input tokens."""
    input_, output, cached, written = (_micro(value, start) for value in values)
    return Price(input_ or 0, output or 0, cached, written, call)


def _micro(value: Any, start: int) -> int | None:
    if value is None:
        return None
    tiers = getattr(value, "tiers", None)
    if tiers is not None:
        value = next((tier.price for tier in reversed(tiers) if start >= tier.start > 0), value.base)
    micro: int = math.ceil(value * _MICRO)
    return micro

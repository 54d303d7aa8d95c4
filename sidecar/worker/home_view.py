"""Collects what the home page shows to one caller, from the worker's own state and the supervisor's status."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from itertools import islice

from sidecar.domain.caller import Caller
from sidecar.domain.gateway_status import GatewayStatus
from sidecar.domain.snapshot import Consumer, Route
from sidecar.domain.wildcard import is_wildcard
from sidecar.gateway.gateway import Gateway
from sidecar.home import Allowed, HomeView, RouteView, UpstreamView
from sidecar.home.words import count, dollars, duration
from sidecar.limits import Bucket, Level, buckets_of
from sidecar.spend.budgets import Allowance, allowances_of
from sidecar.spend.calendar import date_of, timestamp, today_at
from sidecar.worker.upstream_views import States, states_of, upstream_views

# Longer tables help nobody; GET /v1/models lists all routes.
ROUTES_SHOWN_MAX = 200
_ALLOWED_SHOWN_MAX = 60
_UPSTREAMS_SHOWN_MAX = 500
_NOT_KNOWN = ("not known", "the shared store is down")
_NS = 1_000_000_000
_NUMBER = re.compile("[0-9]+")


async def home_view(
    gateway: Gateway, caller: Caller, consumer: Consumer, status: GatewayStatus | None, *, prefix: str, version: str
) -> HomeView:
    """`status` is None if the supervisor did not answer."""
    now_s = time.time()
    visible = gateway.consumers.routes(consumer)
    shown = list(islice(visible.values(), ROUTES_SHOWN_MAX))
    found = status or GatewayStatus()
    states = states_of(found)
    allowed = await _allowed(gateway, shown, consumer, now_s)
    if len(allowed) > _ALLOWED_SHOWN_MAX:
        allowed.sort(key=lambda each: -(each.used or 0.0))
    operator = found.operator if consumer.admin else None
    return HomeView(
        consumer=consumer.name,
        user="" if caller.local else caller.user,
        admin=consumer.admin,
        version=version,
        prefix=prefix,
        known=status is not None,
        workers=found.workers,
        routes=tuple(_route(route, states, texts=consumer.admin) for route in shown),
        routes_more=len(visible) - len(shown),
        allowed=tuple(allowed[:_ALLOWED_SHOWN_MAX]),
        allowed_more=max(0, len(allowed) - _ALLOWED_SHOWN_MAX),
        today=found.today or date_of(today_at(now_s).day),
        now_s=now_s,
        days=found.days,
        by_route=found.routes,
        own_ca=bool(found.ca_pem) and not prefix,
        operator=operator,
        all_upstreams=() if operator is None else _all_upstreams(gateway.snapshot.routes, states),
    )


def _route(route: Route, states: States, *, texts: bool) -> RouteView:
    upstreams = upstream_views(route, states, texts=texts)
    return RouteView(route.name, route.task.value, upstreams, route.aliases, is_wildcard(route.name))


def _all_upstreams(routes: Mapping[str, Route], states: States) -> tuple[tuple[str, UpstreamView], ...]:
    """Upstreams with problems first, then in configured order."""
    found = [(name, each) for name, route in routes.items() for each in upstream_views(route, states, texts=True)]
    found.sort(key=lambda pair: (-pair[1].ejected_by, pair[1].failure is None))
    return tuple(found[:_UPSTREAMS_SHOWN_MAX])


async def _allowed(gateway: Gateway, routes: Iterable[Route], consumer: Consumer, now_s: float) -> list[Allowed]:
    """Every limit and budget once, those of the consumer first."""
    store = gateway.meter.store
    if store is None:
        return []
    buckets = {bucket.key: bucket for route in routes for bucket in buckets_of(route, consumer)}
    ordered = sorted(buckets.values(), key=lambda bucket: not bucket.words.startswith("of consumer"))
    levels = await store.levels(ordered)
    if levels is None:
        found = [Allowed(*_words(bucket), None, *_NOT_KNOWN) for bucket in ordered]
    else:
        found = [_limit(level) for level in levels]
    budgets = {(each.key, each.per): each for route in routes for each in allowances_of(route, consumer)}
    today = today_at(now_s)
    for budget in sorted(budgets.values(), key=lambda each: bool(each.route)):
        ends_s = today.day_ends_s if budget.per == "day" else today.month_ends_s
        found.append(_budget(budget, store.spent(budget), ends_s))
    return found


def _words(bucket: Bucket) -> tuple[str, str]:
    """Whose limit it is, and how much: 'route "chat"', "2,000 requests per minute"."""
    scope, _, amount = bucket.words.removeprefix("of ").rpartition(": ")
    return scope, _NUMBER.sub(lambda found: f"{int(found[0]):,}", amount)


def _limit(level: Level) -> Allowed:
    bucket = level.bucket
    scope, amount = _words(bucket)
    used = 1.0 - level.remaining / bucket.count if bucket.count else 1.0
    if bucket.rate is None:
        return Allowed(scope, amount, used, f"{count(level.remaining)} free")
    resets = f"full again in {duration(level.reset_ns / _NS)}" if level.reset_ns else ""
    return Allowed(scope, amount, used, f"{count(level.remaining)} left", resets)


def _budget(budget: Allowance, spent: int, ends_s: int) -> Allowed:
    used = spent / budget.micro_dollars if budget.micro_dollars else 1.0
    left = dollars(max(0, budget.micro_dollars - spent))
    return Allowed(budget.scope, budget.amount, used, f"{left} left", f"resets at {timestamp(ends_s)}")

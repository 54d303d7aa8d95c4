"""Determines the buckets of a call: the limits of its route, of its consumer, and of both, as keys and rates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from llm_gateway_client.periods import text_of

from sidecar.domain.snapshot import Consumer, Limit, Route, WhenUnavailable
from sidecar.limits.gcra import NS, Rate, rate_of
from sidecar.limits.table import key_of


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """One limit in one scope.

    `key` identifies scope, unit and period but not the count, so that a limit whose count changes keeps its state.
    `rate` is None for concurrent calls (`unit` is "concurrent").
    """

    key: bytes
    unit: str
    count: int
    rate: Rate | None
    words: str  # 'of route "chat": 10 requests per minute'
    when_unavailable: WhenUnavailable = "local_share"
    mode: Literal["exact", "leased"] = "exact"


def buckets_of(route: Route, consumer: Consumer) -> tuple[Bucket, ...]:
    """Returns the buckets; of equal limits in the same scope, the stricter one."""
    both = ("both", route.name, consumer.name)
    of_both = f'of route "{route.name}" for consumer "{consumer.name}"'
    found: dict[bytes, Bucket] = {}
    _add(found, route.limits, ("route", route.name), f'of route "{route.name}"', both, of_both)
    _add(found, consumer.limits, ("consumer", consumer.name), f'of consumer "{consumer.name}"', both, of_both)
    return tuple(found.values())


def _add(
    found: dict[bytes, Bucket],
    limits: Iterable[Limit],
    scope: tuple[str, ...],
    of_scope: str,
    both: tuple[str, ...],
    of_both: str,
) -> None:
    for limit in limits:
        key = key_of(*(both if limit.each else scope), limit.unit, str(limit.per_s))
        if key not in found or found[key].count > limit.count:
            found[key] = _bucket(key, limit, of_both if limit.each else of_scope)


def _bucket(key: bytes, limit: Limit, words: str) -> Bucket:
    rate = None if limit.unit == "concurrent" else rate_of(limit.count, limit.per_s)
    return Bucket(
        key, limit.unit, limit.count, rate, f"{words}: {_limit_text(limit)}", limit.when_unavailable, limit.mode
    )


def share_of(bucket: Bucket, gateways: int) -> Bucket:
    """The bucket for one of `gateways` gateways deciding alone: its share of the limit, at least 1. It has a
    separate state."""
    count = max(1, bucket.count // gateways)
    rate = bucket.rate
    if rate is not None:
        rate = rate_of(count, max(1, rate.window_ns // NS))
    return replace(bucket, key=key_of("share", bucket.key.hex()), count=count, rate=rate)


def _limit_text(limit: Limit) -> str:
    if limit.unit == "concurrent":
        return f"{limit.count} at once"
    return f"{limit.count} {limit.unit} per {text_of(limit.per_s)}"

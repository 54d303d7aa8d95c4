"""Chooses the price by service tier: providers charge more for a fast tier, and less for one that may wait. Pure
functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters import tier_of_json, tier_word
from sidecar.domain.call import Call
from sidecar.domain.snapshot import Price, Upstream
from sidecar.spend.cost import TokenCounts, cost_micro_dollars

_MEMBER = "service_tier"


def may_apply(price: Price, requested: str) -> Iterable[Price]:
    """Returns the tiers that may apply before the provider reports one. A tier requested by name may or may not be
    granted; without one, the provider's own settings decide, and any tier may apply."""
    if not price.tiers:
        return (price,)
    if not requested:
        return (price, *(each for _, each in price.tiers))
    return (price, *(each for name, each in price.tiers if name == requested))


def dearest(price: Price, requested: str, tokens: TokenCounts) -> int:
    """The maximum cost of a call in micro-dollars. `requested` is "" if none was requested or the provider may
    choose."""
    return max(cost_micro_dollars(each, tokens) for each in may_apply(price, requested))


def charged(price: Price, named: str, requested: str, tokens: TokenCounts, *, estimated: bool) -> int:
    """The cost of an ended call in micro-dollars.

    The tier that the answer reports decides; `price` itself applies to tiers that it does not list. If none is
    reported, the requested tier counts if it is more expensive; if the call broke off, the most expensive tier that
    may apply.
    """
    if not price.tiers:
        return cost_micro_dollars(price, tokens)
    if named:
        return cost_micro_dollars(dict(price.tiers).get(named, price), tokens)
    if requested or estimated:
        return dearest(price, requested, tokens)
    return cost_micro_dollars(price, tokens)


def requested_tier(call: Call, upstream: Upstream) -> str:
    """The tier requested by name; "" if the caller leaves it to the provider, or the route drops it."""
    if _MEMBER in upstream.options.get("drop_params", ()):
        return ""
    if call.envelope is not None:
        return tier_of_json(call.envelope.members.get(_MEMBER))
    request: Any = call.request
    return tier_word(getattr(request, _MEMBER, "") or "")

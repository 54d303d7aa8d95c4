"""Which price of a model holds for a call: providers charge more for a fast tier, and less for one that may wait. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from adapters import tier_of_json, tier_word
from sidecar.domain.call import Call
from sidecar.domain.snapshot import Price, Upstream
from sidecar.spend.cost import TokenCounts, cost_micro_dollars

_MEMBER = "service_tier"


def may_apply(price: Price, requested: str) -> Iterable[Price]:
    """Before the provider has said its tier. One that was asked for by name may be given or not; where none was, the provider's
    own settings decide, and they may say any."""
    if not price.tiers:
        return (price,)
    if not requested:
        return (price, *(each for _, each in price.tiers))
    return (price, *(each for name, each in price.tiers if name == requested))


def dearest(price: Price, requested: str, tokens: TokenCounts) -> int:
    """Micro-dollars of what a call may cost at most. `requested`: "" for none, or one that the provider picks."""
    return max(cost_micro_dollars(each, tokens) for each in may_apply(price, requested))


def charged(price: Price, named: str, requested: str, tokens: TokenCounts, *, estimated: bool) -> int:
    """Micro-dollars of a call that has ended. The tier that the answer names decides; one that `price` does not have is at its
    own prices. Where it names none, a tier that was asked for counts if it is the dearer; and of a call that broke off, the
    dearest that may apply."""
    if not price.tiers:
        return cost_micro_dollars(price, tokens)
    if named:
        return cost_micro_dollars(dict(price.tiers).get(named, price), tokens)
    if requested or estimated:
        return dearest(price, requested, tokens)
    return cost_micro_dollars(price, tokens)


def requested_tier(call: Call, upstream: Upstream) -> str:
    """By name; "" where the caller leaves it to the provider, or the route drops it."""
    if _MEMBER in upstream.options.get("drop_params", ()):
        return ""
    if call.envelope is not None:
        return tier_of_json(call.envelope.members.get(_MEMBER))
    request: Any = call.request
    return tier_word(getattr(request, _MEMBER, "") or "")

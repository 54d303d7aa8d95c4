"""The wording of refusals, and what a route drops. Shared by formats; `fit` decides what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from adapters.errors import GatewayError, Kind


def unsupported(provider: str, param: str, why: str = "", *, drop_as: str | None = None) -> GatewayError:
    """The wording of a refusal. `drop_as` is the entry of drop_params that leaves the parameter out; None if it is
    required."""
    text = f"Provider '{provider}' does not support '{param}'" + (f": {why}." if why else ".")
    if drop_as is not None:
        text += f" To send such calls without it, list '{drop_as}' in the route's drop_params."
    return GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param=param)


def invalid(param: str, why: str) -> GatewayError:
    return GatewayError(Kind.INVALID_REQUEST, f"'{param}': {why}.", param=param)


def plain_fields(request: Any, names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The numbers and flags that are set, as (field, the provider's name). JSON has no NaN and no infinity."""
    out: dict[str, Any] = {}
    for name, theirs in names:
        if not request.HasField(name):
            continue
        value = getattr(request, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise invalid(name, "must be a finite number")
        out[theirs] = value
    return out

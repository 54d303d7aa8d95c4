"""What a caller asks and a format cannot say: refused by name, unless the route drops it. Shared by formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from adapters.contract import Target
from adapters.errors import GatewayError, Kind

# Parameter in the words of OpenAI's format -> whether the request asks for it.
Unsupported = tuple[tuple[str, Callable[[Any], bool]], ...]


def refuse_unsupported(request: Any, target: Target, table: Unsupported) -> None:
    """Raises unsupported_parameter for the first parameter of the table that the request asks for."""
    for param, is_set in table:
        if is_set(request):
            refuse(target, param)


def refuse(target: Target, param: str, name: str | None = None, why: str = "") -> None:
    """Raises unsupported_parameter, unless drop_params lists `param`, its general `name`, or the member it stands in: then
    it is to be left out."""
    if {param, name or param, param.partition(".")[0]} & frozenset(target.options.get("drop_params", ())):
        return
    raise unsupported(target.provider.name, param, why, drop_as=name or param)


def unsupported(provider: str, param: str, why: str = "", *, drop_as: str | None = None) -> GatewayError:
    """The one wording of a refusal. `drop_as` is what drop_params lists to leave the parameter out, None where there is no
    call without it."""
    text = f"Provider '{provider}' does not support '{param}'" + (f": {why}." if why else ".")
    if drop_as is not None:
        text += f" To send such calls without it, list '{drop_as}' in the route's drop_params."
    return GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param=param)


def invalid(param: str, why: str) -> GatewayError:
    return GatewayError(Kind.INVALID_REQUEST, f"'{param}': {why}.", param=param)


def plain_fields(request: Any, names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The numbers and flags that are set, (field, the provider's name) each. JSON has no NaN and no infinity."""
    out: dict[str, Any] = {}
    for name, theirs in names:
        if not request.HasField(name):
            continue
        value = getattr(request, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise invalid(name, "must be a finite number")
        out[theirs] = value
    return out

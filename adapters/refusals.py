"""What a caller asks and a format cannot say: refused by name, unless the route drops it. Shared by formats."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from adapters.contract import Target
from adapters.errors import GatewayError, Kind

# Parameter in the words of OpenAI's format -> whether the request asks for it.
Asked = tuple[tuple[str, Callable[[Any], bool]], ...]


def refuse_asked(request: Any, target: Target, table: Asked) -> None:
    """Raises unsupported_parameter for the first parameter of the table that the request asks for."""
    for param, asked in table:
        if asked(request):
            refuse(target, param)


def refuse(target: Target, param: str, name: str | None = None, why: str = "") -> None:
    """Raises unsupported_parameter, unless drop_params lists `param`, its general `name`, or the member it stands in: then
    it is to be left out."""
    if {param, name or param, param.partition(".")[0]} & frozenset(target.options.get("drop_params", ())):
        return
    message = f"Provider '{target.provider.name}' does not support '{param}'"
    raise GatewayError(Kind.UNSUPPORTED_PARAMETER, f"{message}: {why}." if why else f"{message}.", param=param)


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

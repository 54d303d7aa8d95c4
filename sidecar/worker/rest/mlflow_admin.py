"""Parses what admins send on MLflow's paths: routes to create, and limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from llm_gateway_client.periods import WORDS, seconds_of, text_of

from adapters import GatewayError, Kind
from adapters.mlflow_client import members_of
from sidecar.domain.snapshot import Limit

_CONFIG_SUFFIX = "_config"
_SCOPES = ("route", "endpoint", "user")


def spec_of(body: bytes) -> dict[str, Any]:
    """Converts {name, route_type, model: {name, provider, config | <provider>_config}} to a route in the terms of
    the config file.

    Raises invalid_request. The route's contents are checked when it is created.
    """
    spec = _object(body)
    model = spec.get("model")
    if isinstance(model, dict):
        spec["model"] = _with_config(model)
    return spec


def _with_config(model: dict[str, Any]) -> dict[str, Any]:
    """MLflow's clients name the config after the provider, as in openai_config."""
    named = [name for name in model if name.endswith(_CONFIG_SUFFIX)]
    if not named:
        return model
    if len(named) > 1 or "config" in model:
        raise _invalid("A model must have only one config.", "model.config")
    provider = str(model.get("provider", "")).lower().replace("-", "_")
    if named[0] != f"{provider}{_CONFIG_SUFFIX}":
        raise _invalid(f"'{named[0][:64]}' is not the config of this provider.", f"model.{named[0][:64]}")
    return {("config" if name == named[0] else name): value for name, value in model.items()}


def limits_of(body: bytes) -> tuple[str, list[Limit]]:
    """Returns the route's name and limits from {route, limits: [{calls, renewal_period, key}]}. Raises
    invalid_request."""
    value = _object(body)
    name, limits = value.get("route"), value.get("limits")
    if not isinstance(name, str):
        raise _invalid("Field required: the name of a route.", "route")
    if not isinstance(limits, list):
        raise _invalid("Field required: a list of limits.", "limits")
    return name, [_limit(each, f"limits[{index}]") for index, each in enumerate(limits)]


def _limit(value: Any, at: str) -> Limit:
    if not isinstance(value, dict):
        raise _invalid("A limit must be an object.", at)
    calls, period, key = value.get("calls"), value.get("renewal_period"), value.get("key")
    if type(calls) is not int or calls < 0:
        raise _invalid("Must be a whole number, 0 or greater.", f"{at}.calls")
    try:
        per_s = seconds_of(period if isinstance(period, str) else "")
    except ValueError:
        raise _invalid(f"Must be one of {WORDS}, or a number of them.", f"{at}.renewal_period") from None
    if key is not None and key not in _SCOPES:
        raise _invalid(f"Must be one of {', '.join(_SCOPES)}.", f"{at}.key")
    if unknown := value.keys() - {"calls", "renewal_period", "key"}:
        raise _invalid("A limit may only have calls, renewal_period and key.", f"{at}.{min(unknown)[:64]}")
    return Limit("requests", calls, per_s, each=key == "user")


def limits_json(limits: Iterable[Limit]) -> dict[str, Any]:
    """Returns the limits that MLflow can express, calls per period. Limits of tokens and of concurrent calls are
    only in RouteService."""
    return {
        "limits": [
            {"calls": each.count, "key": "user" if each.each else "route", "renewal_period": text_of(each.per_s)}
            for each in limits
            if each.unit == "requests"
        ]
    }


def _object(body: bytes) -> dict[str, Any]:
    found = {}
    for name, raw in members_of(body).items():
        try:
            found[name] = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError):  # well-formed, since members_of accepted it
            raise _invalid("Contains a number out of range, or is nested too deeply.", name[:64]) from None
    return found


def _invalid(message: str, param: str) -> GatewayError:
    return GatewayError(Kind.INVALID_REQUEST, message, param=param)

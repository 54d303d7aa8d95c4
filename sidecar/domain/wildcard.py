"""Wildcard routes: `openai/*` answers every name with that prefix, and passes the rest on as the model.

The route that answers such a name is the wildcard route with another model. It keeps the wildcard's name, so that
limits, spend and metric labels are those of one route, however many models are requested.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from sidecar.domain.snapshot import Price, Route, Upstream

STAR: Final = "*"
# What may replace the star: the characters of real model names. Segments that URLs would lose ("..") are excluded,
# since some providers put the model into the path.
_REST: Final = re.compile(r"[A-Za-z0-9@](?:[A-Za-z0-9._:@+-]|/(?![/.])){0,255}")
_REST_CHARS_MAX = 256


def is_wildcard(name: str) -> bool:
    """Whether a route's name is a wildcard; a star is only valid at the end."""
    return name.endswith(STAR)


def rest_of(name: str, wildcard: str) -> str | None:
    """Returns the part of `name` that replaces the star; None if the route does not answer to the name."""
    start = wildcard[: -len(STAR)]
    rest = name[len(start) : len(start) + _REST_CHARS_MAX + 1]
    fits = name.startswith(start) and not rest.endswith("/") and len(rest) <= _REST_CHARS_MAX and _REST.fullmatch(rest)
    return rest if fits else None


def for_rest(route: Route, rest: str) -> Route:
    """The wildcard route as it answers one name."""
    return replace(route, upstreams=tuple(_with_rest(each, rest) for each in route.upstreams))


def _with_rest(upstream: Upstream, rest: str) -> Upstream:
    if STAR not in upstream.model and quote(STAR) not in upstream.base_url:
        return upstream
    model = upstream.model.replace(STAR, rest)
    # for providers whose URL contains a deployment
    base_url = upstream.base_url.replace(quote(STAR), quote(rest, safe=""))
    price = upstream.price or _price_of(model, upstream.price_rules)
    return replace(upstream, model=model, base_url=base_url, price=price, template=upstream)


def _price_of(model: str, rules: Iterable[tuple[str, Price]]) -> Price | None:
    """Applies the first rule whose pattern is found in the model's name."""
    return next((price for pattern, price in rules if re.search(pattern, model.lower())), None)

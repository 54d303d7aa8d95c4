"""Wildcard routes: one named `openai/*` answers every name that begins like it, and passes the rest as the model's name.

The route that answers such a name is the wildcard route with another model; it keeps the wildcard's name, so that limits, sums
of money and metric labels are those of one route, however many models are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from sidecar.domain.snapshot import Price, Route, Upstream

STAR: Final = "*"
# What may stand for the star: models' names in the wild, with no segment that a URL would lose: some providers have it there.
_REST: Final = re.compile(r"[A-Za-z0-9@](?:[A-Za-z0-9._:@+-]|/(?![/.])){0,255}")
_REST_CHARS_MAX = 256


def is_wildcard(name: str) -> bool:
    """Of a route's name: only there at the end is a star legal."""
    return name.endswith(STAR)


def rest_of(name: str, wildcard: str) -> str | None:
    """What of `name` stands for the star of a wildcard route; None where the route does not answer it."""
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
    base_url = upstream.base_url.replace(quote(STAR), quote(rest, safe=""))  # where a deployment is in it
    price = upstream.price or _price_of(model, upstream.price_rules)
    return replace(upstream, model=model, base_url=base_url, price=price, template=upstream)


def _price_of(model: str, rules: Iterable[tuple[str, Price]]) -> Price | None:
    """By the first rule whose pattern is found in the model's name."""
    return next((price for pattern, price in rules if re.search(pattern, model.lower())), None)

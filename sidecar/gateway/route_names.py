"""Resolves the name that a caller wrote to a route: by its own name, by an alias or by a wildcard.

An exact name costs one dict lookup, with or without wildcards.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import cached_property

from sidecar.domain.snapshot import Route, Snapshot
from sidecar.domain.wildcard import for_rest, is_wildcard, rest_of

# Routes derived from wildcards, at some KiB each; more models than callers of one gateway use at a time.
ANSWERED_MAX = 512


class RouteNames:
    """All names of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._routes = snapshot.routes
        self._answered: OrderedDict[str, Route] = OrderedDict()

    @cached_property
    def exact(self) -> Mapping[str, Route]:
        """Routes by name and alias, without wildcard routes."""
        aliases = {alias: route for route in self._routes.values() for alias in route.aliases}
        if not aliases and not self.wildcards:
            return self._routes
        return {**{name: route for name, route in self._routes.items() if not is_wildcard(name)}, **aliases}

    @property
    def cache_size(self) -> int:
        """How many different names are worth caching something for."""
        return len(self.exact) + ANSWERED_MAX

    @cached_property
    def wildcards(self) -> tuple[Route, ...]:
        """Wildcard routes, most specific first: of several that match, the one with the longest prefix answers."""
        found = [route for name, route in self._routes.items() if is_wildcard(name)]
        return tuple(sorted(found, key=lambda route: -len(route.name)))

    def of(self, allowed: Callable[[str], bool] | None) -> NamesFor:
        """The names that a consumer may call, given a predicate; None allows all."""
        return NamesFor(self, allowed)

    def answered(self, name: str) -> Route | None:
        """Returns the route that a wildcard derives for the name, if one matches."""
        route = self._answered.get(name)
        if route is not None:
            self._answered.move_to_end(name)
            return route
        for wildcard in self.wildcards:
            rest = rest_of(name, wildcard.name)
            if rest is not None:
                route = self._answered[name] = for_rest(wildcard, rest)
                if len(self._answered) > ANSWERED_MAX:
                    self._answered.popitem(last=False)
                return route
        return None


class NamesFor:
    """The names that one consumer may call.

    Other routes do not exist as far as it can tell: a wildcard never replaces a route that it may not call, and an
    alias is allowed exactly if its route is.
    """

    def __init__(self, names: RouteNames, allowed: Callable[[str], bool] | None) -> None:
        self._names = names
        self._allowed = allowed
        self._exact = (
            names.exact
            if allowed is None
            else {name: route for name, route in names.exact.items() if allowed(route.name)}
        )

    def find(self, name: str) -> Route | None:
        route = self._exact.get(name)
        if route is not None or not self._names.wildcards:
            return route
        if name in self._names.exact or (self._allowed is not None and not self._allowed(name)):
            return None
        return self._names.answered(name)

    def listed(self, routes: Mapping[str, Route], written: Collection[str]) -> dict[str, Route]:
        """Returns those of `routes` that the consumer may call, by name, plus the models that its `allow` list
        (`written`) names individually of a wildcard."""
        found = {name: route for name, route in routes.items() if name in self._exact or self._whole(name)}
        for name in written if self._names.wildcards else ():
            if name not in self._names.exact and name not in found and (route := self.find(name)) is not None:
                found[name] = replace(route, name=name)
        return found

    def _whole(self, name: str) -> bool:
        """Whether it is a wildcard that the consumer may call under every name."""
        return is_wildcard(name) and (self._allowed is None or self._allowed(name))

"""Which consumer a call belongs to, and which routes that consumer may call. Other routes do not exist as far as it
can tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import translate
from functools import cached_property
from typing import Final

from adapters import GatewayError, Kind
from sidecar.domain.call import Call
from sidecar.domain.caller import LOCAL_CONSUMER, Caller
from sidecar.domain.snapshot import Consumer, Route, Snapshot
from sidecar.gateway.prompt_secrets import PromptSecrets
from sidecar.gateway.route_names import NamesFor, RouteNames

_NOBODY: Final[Mapping[str, Route]] = {}
# Names of users and consumers cannot contain a colon, so this prefix cannot collide with either.
_USER: Final = "user:"
_GLOB = re.compile(r"[*?\[]")


class Consumers:
    """The consumers of one snapshot. Results are cached, since a snapshot never changes."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._of_user: dict[str, Consumer] = {}
        self._routes: dict[str, Mapping[str, Route]] = {}
        self.names: Final = RouteNames(snapshot)
        self._names_for: dict[str, tuple[Consumer, NamesFor]] = {}
        self._taken = {LOCAL_CONSUMER, *(consumer.name for consumer in snapshot.consumers or ())}

    @cached_property
    def prompts(self) -> PromptSecrets:
        """The search for this snapshot's provider keys in prompts."""
        return PromptSecrets(self._snapshot)

    def of(self, caller: Caller) -> Consumer:
        """Returns the first configured consumer that matches the caller. A caller that matches none may not call
        any route."""
        known = self._of_user.get(caller.user) if not caller.local else self._local
        if known is None:
            known = self._of_user[caller.user] = self._find(caller.user)
        return known

    @cached_property
    def _local(self) -> Consumer:
        """The consumer of the local gRPC port and socket."""
        if self._snapshot.consumers is None:
            return Consumer(LOCAL_CONSUMER)
        claimed = (consumer for consumer in self._snapshot.consumers if consumer.local)
        return next(claimed, Consumer(LOCAL_CONSUMER, allow=()))

    def _find(self, user: str) -> Consumer:
        # A user must not be confused with a consumer of the same name, neither in metrics nor in limits.
        own = f"{_USER}{user}" if user in self._taken else user
        if self._snapshot.consumers is None:
            return Consumer(own)
        for consumer, claims in self._claims:
            if claims(user):
                return consumer
        return Consumer(own, allow=())

    @cached_property
    def _claims(self) -> list[tuple[Consumer, Callable[[str], bool]]]:
        return [(consumer, _matcher(consumer.users)) for consumer in self._snapshot.consumers or () if consumer.users]

    def routes(self, consumer: Consumer) -> Mapping[str, Route]:
        """The routes that the consumer can see, in configured order."""
        if consumer.allow == ("*",) and not consumer.deny:
            return self._snapshot.routes
        if not consumer.allow:
            return _NOBODY
        found = self._routes.get(consumer.name)
        if found is None:
            found = self._names_of(consumer).listed(self._snapshot.routes, consumer.allow)
            self._routes[consumer.name] = found
        return found

    def find(self, consumer: Consumer, name: str) -> Route | None:
        """Returns the route that answers to `name`, if the consumer may call it. The route's own name differs for
        an alias or a wildcard."""
        return self._names_of(consumer).find(name)

    def shown(self, consumer: Consumer, name: str) -> Route | None:
        """Like `known`, but the route carries the name that was asked for, since clients continue to use the name
        in the answer."""
        route = self.known(consumer, name)
        return route if route is None or route.name == name else replace(route, name=name)

    def known(self, consumer: Consumer, name: str) -> Route | None:
        """Like `find`, but also finds wildcard routes by their own name: they cannot be called, but they can be
        read and changed."""
        return self.routes(consumer).get(name) or self.find(consumer, name)

    def _names_of(self, consumer: Consumer) -> NamesFor:
        found = self._names_for.get(consumer.name)
        if found is None or found[0] is not consumer:  # a call that started before a reload carries the older consumer
            found = self._names_for[consumer.name] = (consumer, self.names.of(_permission(consumer)))
        return found[1]


def find_route(consumers: Consumers, call: Call) -> Route:
    """Returns the call's route. Raises route_not_found if there is none or the consumer may not call it."""
    route = consumers.find(call.consumer, call.route)
    if route is None:
        raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{call.route[:128]}".', param="model")
    return route


def wrong_task(route: Route, call: Call) -> GatewayError:
    """The error for a call whose task is not the route's."""
    text = f'Route "{route.name}" is of type llm/v1/{route.task}, this call is of type llm/v1/{call.task}.'
    return GatewayError(Kind.INVALID_REQUEST, text, param="model")


def require_admin(consumer: Consumer) -> None:
    """Raises permission_denied unless the consumer is an admin."""
    if not consumer.admin:
        raise GatewayError(Kind.PERMISSION_DENIED, "This call requires an admin (a consumer with `roles: [admin]`).")


def _permission(consumer: Consumer) -> Callable[[str], bool] | None:
    """Returns a predicate for route names the consumer may call; None if it may call every route."""
    if consumer.allow == ("*",) and not consumer.deny:
        return None
    allowed, denied = _matcher(consumer.allow), _matcher(consumer.deny)
    return lambda name: allowed(name) and not denied(name)


def _matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Returns a predicate that is true if any glob matches. One combined pattern keeps 6,001 routes and a hundred
    globs from holding up a worker."""
    words = {glob for glob in globs if not _GLOB.search(glob)}
    patterns = [translate(glob) for glob in dict.fromkeys(globs) if glob not in words]
    if "*" in globs or not patterns:
        return words.__contains__ if "*" not in globs else lambda name: True
    matches = re.compile("|".join(patterns)).match
    return lambda name: name in words or matches(name) is not None

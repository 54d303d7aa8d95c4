"""Which consumer a call belongs to, and which routes that consumer may call. What it may not call does not exist for it."""

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
# No user's name has a colon, nor has a consumer's: such a name can be nobody else's.
_USER: Final = "user:"
_GLOB = re.compile(r"[*?\[]")


class Consumers:
    """The consumers of one snapshot. What it works out is kept: a snapshot does not change."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._of_user: dict[str, Consumer] = {}
        self._routes: dict[str, Mapping[str, Route]] = {}
        self.names: Final = RouteNames(snapshot)
        self._names_for: dict[str, tuple[Consumer, NamesFor]] = {}
        self._taken = {LOCAL_CONSUMER, *(consumer.name for consumer in snapshot.consumers or ())}

    @cached_property
    def prompts(self) -> PromptSecrets:
        """Looks for the snapshot's keys in prompts."""
        return PromptSecrets(self._snapshot)

    def of(self, caller: Caller) -> Consumer:
        """The first consumer of the config that claims the caller. One that nobody claims may call nothing."""
        known = self._of_user.get(caller.user) if not caller.local else self._local
        if known is None:
            known = self._of_user[caller.user] = self._find(caller.user)
        return known

    @cached_property
    def _local(self) -> Consumer:
        """Of the local gRPC port and socket."""
        if self._snapshot.consumers is None:
            return Consumer(LOCAL_CONSUMER)
        claimed = (consumer for consumer in self._snapshot.consumers if consumer.local)
        return next(claimed, Consumer(LOCAL_CONSUMER, allow=()))

    def _find(self, user: str) -> Consumer:
        # A user is not the consumer that happens to have the same name: not in metrics, and not in what it may use up.
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
        """What the consumer sees, in the config's order."""
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
        """The route that answers a name, of those the consumer may call. Its own name may be another: that of an alias's route,
        or of a wildcard."""
        return self._names_of(consumer).find(name)

    def shown(self, consumer: Consumer, name: str) -> Route | None:
        """`known`, under the name that was asked for: clients go on with the name that they are answered."""
        route = self.known(consumer, name)
        return route if route is None or route.name == name else replace(route, name=name)

    def known(self, consumer: Consumer, name: str) -> Route | None:
        """`find`, and wildcard routes by their own names: nobody can call those, but read and change them."""
        return self.routes(consumer).get(name) or self.find(consumer, name)

    def _names_of(self, consumer: Consumer) -> NamesFor:
        found = self._names_for.get(consumer.name)
        if found is None or found[0] is not consumer:  # a call that came before a reload has the consumer of then
            found = self._names_for[consumer.name] = (consumer, self.names.of(_permission(consumer)))
        return found[1]


def find_route(consumers: Consumers, call: Call) -> Route:
    """The call's route, of those its consumer may call. Raises route_not_found."""
    route = consumers.find(call.consumer, call.route)
    if route is None:
        raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{call.route[:128]}".', param="model")
    return route


def wrong_task(route: Route, call: Call) -> GatewayError:
    """For a call of another task than the route's."""
    text = f'Route "{route.name}" is of type llm/v1/{route.task}, this call of llm/v1/{call.task}.'
    return GatewayError(Kind.INVALID_REQUEST, text, param="model")


def require_admin(consumer: Consumer) -> None:
    """Raises permission_denied."""
    if not consumer.admin:
        raise GatewayError(Kind.PERMISSION_DENIED, "This call is for admins (`roles: [admin]` of a consumer).")


def _permission(consumer: Consumer) -> Callable[[str], bool] | None:
    """Whether the consumer may call a route of this name; None: every one."""
    if consumer.allow == ("*",) and not consumer.deny:
        return None
    allowed, denied = _matcher(consumer.allow), _matcher(consumer.deny)
    return lambda name: allowed(name) and not denied(name)


def _matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Whether one of them matches a name. One pattern for all: 6,001 routes and a hundred globs must not hold up a worker."""
    words = {glob for glob in globs if not _GLOB.search(glob)}
    patterns = [translate(glob) for glob in dict.fromkeys(globs) if glob not in words]
    if "*" in globs or not patterns:
        return words.__contains__ if "*" not in globs else lambda name: True
    matches = re.compile("|".join(patterns)).match
    return lambda name: name in words or matches(name) is not None

"""Which consumer a call belongs to, and which routes that consumer may call. What it may not call does not exist for it."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from adapters import GatewayError, Kind
from sidecar.caller import Caller
from sidecar.snapshot import Consumer, Route, Snapshot

_NOBODY: Final[Mapping[str, Route]] = {}


class Consumers:
    """The consumers of one snapshot. What it works out is kept: a snapshot does not change."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._of_user: dict[str, Consumer] = {}
        self._routes: dict[str, Mapping[str, Route]] = {}

    def of(self, caller: Caller) -> Consumer:
        """The first consumer of the config that claims the caller. One that nobody claims may call nothing."""
        known = self._of_user.get(caller.user) if not caller.local else None
        if known is not None:
            return known
        found = self._find(caller)
        if not caller.local:
            self._of_user[caller.user] = found
        return found

    def _find(self, caller: Caller) -> Consumer:
        if self._snapshot.consumers is None:
            return Consumer(caller.user)
        for consumer in self._snapshot.consumers:
            if consumer.local if caller.local else any(fnmatchcase(caller.user, glob) for glob in consumer.users):
                return consumer
        return Consumer(caller.user, allow=())

    def routes(self, consumer: Consumer) -> Mapping[str, Route]:
        """What the consumer sees, in the config's order."""
        if consumer.allow == ("*",) and not consumer.deny:
            return self._snapshot.routes
        if not consumer.allow:
            return _NOBODY
        found = self._routes.get(consumer.name)
        if found is None:
            found = {name: route for name, route in self._snapshot.routes.items() if _may(consumer, name)}
            self._routes[consumer.name] = found
        return found


def require_admin(consumer: Consumer) -> None:
    """Raises permission_denied."""
    if not consumer.admin:
        raise GatewayError(Kind.PERMISSION_DENIED, "This call is for admins (`roles: [admin]` of a consumer).")


def _may(consumer: Consumer, name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in consumer.allow) and not any(
        fnmatchcase(name, glob) for glob in consumer.deny
    )

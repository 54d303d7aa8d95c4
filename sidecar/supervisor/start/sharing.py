"""What gateways with the same store share in addition to limits and money: managed routes, and users."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from sidecar.supervisor.configuration import Configuration
from sidecar.supervisor.metrics.page import SupervisorMetrics
from sidecar.supervisor.start.options import FrontOptions
from sidecar.supervisor.start.state import StateDir

if TYPE_CHECKING:  # only with a store
    from sidecar.supervisor.shared_routes import SharedRoutes
    from sidecar.supervisor.shared_users import SharedUsers

_log = logging.getLogger("sidecar")
# Other gateways have a change within a second, most of which is theirs to take it. A look is one GET of 50 bytes.
_LOOK_S = 0.1
_START_S = 2.0  # a start waits no longer for the store


class Sharing:
    """One per supervisor. Without a store there is nothing to share."""

    def __init__(self, routes: SharedRoutes | None = None, users: SharedUsers | None = None) -> None:
        self.routes = routes
        self._users = users

    @classmethod
    def open(
        cls, configuration: Configuration, state: StateDir, front: FrontOptions | None, metrics: SupervisorMetrics
    ) -> Sharing:
        """Users are shared if there is a key to encrypt them with, and they are those of the state directory."""
        store = configuration.snapshot.store
        if store is None:
            try:
                configuration.files.write_seen("")  # what is changed without a store, the store does not know
            except OSError as error:
                _log.warning("%s: %s", error.filename, error.strerror)
            return cls()
        from sidecar.supervisor.shared_routes import SharedRoutes
        from sidecar.supervisor.shared_users import SharedUsers

        routes = SharedRoutes(store, configuration)
        metrics.registry.register(routes.report)
        if store.encryption_key is None or (front is not None and front.users_file is not None):
            return cls(routes)
        users = SharedUsers(store, state.users, state.store / "users.json")
        metrics.registry.register(users)
        return cls(routes, users)

    async def join(self) -> None:
        """At the start: what the others have, if the store answers in time."""
        end_s = time.monotonic() + _START_S
        while self.routes is not None:
            if await self._look() or time.monotonic() > end_s:
                return
            await asyncio.sleep(_LOOK_S)

    async def follow(self) -> None:
        """Until it is cancelled."""
        try:
            while self.routes is not None:
                await asyncio.sleep(_LOOK_S)
                await self._look()
            await asyncio.Event().wait()
        finally:
            if self.routes is not None:
                self.routes.close()
            if self._users is not None:
                self._users.close()

    def notes(self) -> tuple[str, ...]:
        """What an operator should know, a line each."""
        return () if self.routes is None else self.routes.report.notes()

    async def _look(self) -> bool:
        assert self.routes is not None
        there = await self.routes.look()
        return (self._users is None or await self._users.look()) and there

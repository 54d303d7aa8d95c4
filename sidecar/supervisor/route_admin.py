"""Changes routes through the API: one at a time, validated like the config file, written to disk, then applied to
every worker.

`turn` is held whenever the workers are given a snapshot, so that changes and reloads of the file never overtake each
other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from adapters import GatewayError, Kind
from sidecar.config import ConfigErrors, Problem
from sidecar.config.route_documents import (
    LIMITS,
    ROUTE,
    NotUnderstood,
    RouteDocument,
    limits_document,
    limits_of,
    route_document,
    route_of,
)
from sidecar.control.channel import ChangeRequest, PutLimits, PutRoute, Refusal, RemoveRoute
from sidecar.domain.redaction import without_secret
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Route, Snapshot
from sidecar.domain.version import limits_version
from sidecar.supervisor.configuration import Configuration, Reading, RouteDraft
from sidecar.supervisor.inline_keys import without_keys
from sidecar.supervisor.route_taking import Behind, NotTaken
from sidecar.supervisor.start.start_error import StartError
from sidecar.worker.route_changes import no_route

if TYPE_CHECKING:  # only with a store
    from sidecar.supervisor.shared_routes import SharedRoutes

_log = logging.getLogger("sidecar")
# Others are at it at the same time: of each round one wins.
_ATTEMPTS = 20
_BEHIND_S = 0.05
Step = Callable[[Snapshot], Awaitable[None]]


class RouteAdmin:
    """`prepare` starts what a snapshot needs (raises StartError); `use` passes it to every worker and waits for
    each."""

    def __init__(
        self, configuration: Configuration, prepare: Step, use: Step, shared: SharedRoutes | None = None
    ) -> None:
        self._configuration = configuration
        self._files = configuration.files
        self._prepare = prepare
        self._use = use
        self.turn = asyncio.Lock()
        self._shared = shared
        if shared is not None:
            shared.taker = self

    async def make(self, ask: ChangeRequest) -> Route | Refusal | None:
        """Returns the route as every worker has it now (None if deleted), or why nothing was changed."""
        async with self.turn:
            try:
                return await self._make(ask)
            except GatewayError as error:
                return Refusal.of(error)
            except OSError as error:
                _log.error("A change of routes failed: %s.", error)
                words = f"The gateway cannot write to routes.d ({error.strerror}). Nothing was changed."
                return Refusal(Kind.FAILED_PRECONDITION, words)
            except Exception:  # noqa: BLE001 one caller's answer; the supervisor continues
                _log.exception("Unexpected exception; this is a bug in the gateway.")
                return Refusal(Kind.INTERNAL, "The gateway failed.")

    async def _make(self, ask: ChangeRequest) -> Route | None:
        if self._shared is None:
            return await self._change(ask)
        for _ in range(_ATTEMPTS):
            await self._shared.catch_up()
            try:
                return await self._change(ask)
            except Behind:
                await asyncio.sleep(random.uniform(0, _BEHIND_S))
        raise GatewayError(Kind.OVERLOADED, "Nothing was changed: other gateways keep changing routes. Try again.")

    async def _change(self, ask: ChangeRequest) -> Route | None:
        match ask.change:
            case PutRoute() as change:
                return await self._put(change, ask.by)
            case RemoveRoute() as change:
                return await self._remove(change, ask.by)
            case PutLimits() as change:
                return await self._limit(change, ask.by)

    async def _put(self, change: PutRoute, by: str) -> Route:
        current = self._managed()
        name = change.spec.get("name")
        if not isinstance(name, str):
            raise GatewayError(Kind.INVALID_REQUEST, "name: The route has no name.", param="name")
        if change.replaces:
            self._require_created(current, name)
            _require_version(current.routes[name].version, change.builds_on, f'Route "{name}" was')
        elif name in current.routes:
            raise GatewayError(Kind.ALREADY_EXISTS, f'Route "{name[:128]}" already exists.', param="name")
        spec, keys = without_keys(change.spec, name)
        text = json.dumps({"routes": [spec]}, indent=1, ensure_ascii=False) + "\n"
        reading = await asyncio.to_thread(self._checked, RouteDraft(name, text, keys, change.replaces))
        await self._prepared(reading.snapshot)
        limits = {} if change.replaces else {LIMITS + name: None}
        async with self._on_all({ROUTE + name: route_document(text, keys), **limits}):
            await asyncio.to_thread(partial(self._files.put, name, text, keys, keep_limits=change.replaces))
        await self._in_use(reading)
        _log.info("Route %s was %s by %s.", name, "changed" if change.replaces else "created", by)
        return reading.snapshot.routes[name]

    async def _remove(self, change: RemoveRoute, by: str) -> Route | None:
        current, name = self._managed(), change.name
        self._require_created(current, name)
        _require_version(current.routes[name].version, change.builds_on, f'Route "{name}" was')
        reading = await asyncio.to_thread(self._checked, RouteDraft(name, None))
        async with self._on_all({ROUTE + name: None, LIMITS + name: None}):
            await asyncio.to_thread(self._files.remove, name)
        await self._in_use(reading)
        self._configuration.retry()
        _log.info("Route %s was removed by %s.", name, by)
        return None

    async def _limit(self, change: PutLimits, by: str) -> Route:
        route = self._configuration.snapshot.routes.get(change.route)
        if route is None:
            raise no_route(change.route)
        _require_version(limits_version(route.limits), change.builds_on, f'The limits of route "{route.name}" were')
        async with self._on_all({LIMITS + change.route: limits_document(change.limits)}):
            await asyncio.to_thread(self._files.write_limits, change.route, change.limits)
        reading = await asyncio.to_thread(self._configuration.with_limits)
        await self._in_use(reading)
        _log.info("The limits of route %s were set by %s (%d).", change.route, by, len(change.limits))
        return reading.snapshot.routes[change.route]

    def _on_all(self, documents: Mapping[str, bytes | None]) -> AbstractAsyncContextManager[None]:
        """The change is made for all gateways that share a store, and inside the block here."""
        return nullcontext() if self._shared is None else self._shared.change(documents)

    async def take(self, name: str, document: bytes | None) -> None:
        """A change of another gateway; `turn` is held, and `taken` follows. Raises NotTaken, OSError."""
        kind, name = name[:2], name[2:]
        try:
            if kind == ROUTE:
                await self._take_route(name, None if document is None else route_of(name, document))
            elif kind == LIMITS:
                limits = None if document is None else limits_of(name, document)
                await asyncio.to_thread(self._files.write_limits, name, limits)
                self._configuration.changed(await asyncio.to_thread(self._configuration.with_limits))
            else:
                raise NotTaken("this release does not know what it is")
        except NotUnderstood as error:
            raise NotTaken(str(error)) from None
        except GatewayError as error:
            raise NotTaken("; ".join(error.message.splitlines())) from None

    async def _take_route(self, name: str, route: RouteDocument | None) -> None:
        known = self._configuration.snapshot.routes.get(name)
        if route is None:
            if known is not None and known.version:
                reading = await asyncio.to_thread(self._checked, RouteDraft(name, None))
                if self._files.has(name):  # not where another gateway works on the same files
                    await asyncio.to_thread(self._files.remove, name)
                self._configuration.changed(reading)
                self._configuration.retry()
                _log.info("Route %s was removed by another gateway.", name)
            return
        if known is not None and not known.version:
            raise NotTaken("the config file of this gateway has a route of that name")
        draft = RouteDraft(name, route.text, route.keys, replaces=True)
        try:
            reading = await asyncio.to_thread(self._configuration.with_draft, draft)
        except ConfigErrors as errors:
            raise NotTaken("; ".join(_problem_text(errors.problems, draft).splitlines())) from None
        await self._prepared(reading.snapshot)
        await asyncio.to_thread(partial(self._files.put, name, route.text, route.keys, keep_limits=True))
        self._configuration.changed(reading)
        _log.info("Route %s was made or changed by another gateway.", name)

    async def taken(self) -> None:
        """Every worker has what was taken."""
        await self._use(self._configuration.snapshot)

    async def _in_use(self, reading: Reading) -> None:
        self._configuration.changed(reading)
        await self._use(reading.snapshot)

    def _managed(self) -> Snapshot:
        """The worker has checked this already, but may have been one reload behind."""
        current = self._configuration.snapshot
        if not current.manage_routes:
            raise GatewayError(
                Kind.FAILED_PRECONDITION,
                "Managing routes through the API is off. Set `manage_routes: true` in the config file.",
            )
        return current

    def _require_created(self, current: Snapshot, name: str) -> None:
        if name not in current.routes:
            raise no_route(name)
        if not self._files.has(name):
            words = f'Route "{name[:128]}" is in the config file. Change it there.'
            raise GatewayError(Kind.FAILED_PRECONDITION, words, param="name")

    def _checked(self, draft: RouteDraft) -> Reading:
        """Returns the configuration with the change. Blocks: reads the whole configuration."""
        try:
            return self._configuration.with_draft(draft)
        except ConfigErrors as errors:
            file = str(self._files.path(draft.name))
            own = [problem for problem in errors.problems if problem.file == file]
            if draft.text is None or not own:
                _log.error("A change of route %s failed: %s", draft.name, errors)
                words = (
                    "Nothing was changed: the configuration would not load after it. The gateway's log has the reason."
                )
                raise GatewayError(Kind.FAILED_PRECONDITION, words) from None
            raise GatewayError(Kind.INVALID_REQUEST, _problem_text(own, draft), param=_place(own[0].path)) from None

    async def _prepared(self, snapshot: Snapshot) -> None:
        try:
            await self._prepare(snapshot)
        except StartError as error:
            _log.error("A change of routes failed: %s.", error)
            raise GatewayError(Kind.FAILED_PRECONDITION, f"Nothing was changed: {error}") from None


def _require_version(version: str, builds_on: tuple[str, ...], what_was: str) -> None:
    """Raises conflict, with the version that holds now."""
    if version not in builds_on:
        now = f'and the version is "{version}" now. Read it, then try again.'
        words = f"Nothing was changed: {what_was} changed at the same time, {now}"
        raise GatewayError(Kind.CONFLICT, words, param="etag", headers=(("etag", f'"{version}"'),))


def _problem_text(problems: list[Problem], draft: RouteDraft) -> str:
    """All problems, one per line, in the form of those of the file but without a location."""
    lines = []
    for problem in problems:
        place = _place(problem.path)
        hint = f"; {problem.hint}" if problem.hint else ""
        lines.append(f"{place}: {problem.message}{hint}" if place else f"{problem.message}{hint}")
    text = "\n".join(lines)
    for key in draft.keys.values():
        text = without_secret(text, Secret(key))
    return text


def _place(path: str) -> str:
    return path.removeprefix("routes[0]").removeprefix(".")

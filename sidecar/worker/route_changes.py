"""Changes of routes at run time, from the worker's side: checks permissions and asks the supervisor for the change.

The supervisor (sidecar/supervisor/route_admin.py) makes one change at a time: first the files, then every worker.
Once a method here returns, every later call on any worker sees the change. A change that was not confirmed may still
have happened; its caller gets not_confirmed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from llm_gateway_client.periods import SECONDS_MAX

from adapters import GatewayError, Kind
from sidecar.control.channel import (
    ChangeRequest,
    ChangeResult,
    PutLimits,
    PutRoute,
    Refusal,
    RemoveRoute,
    RouteChange,
    StatusRequest,
    StatusResult,
)
from sidecar.domain.gateway_status import GatewayStatus
from sidecar.domain.snapshot import Consumer, Limit, Route
from sidecar.domain.version import limits_version
from sidecar.gateway.consumers import require_admin
from sidecar.gateway.gateway import Gateway

# A reload waits up to 10 s for a worker that hangs before it replaces it, and two changes may be queued before this
# one.
_ANSWER_TIMEOUT_S = 30.0
# A page is waiting for the status: better to show it without numbers than not at all.
_STATUS_TIMEOUT_S = 5.0
# Changes are made one after the other at some tens of milliseconds each. More than this in the queue means a broken
# client.
_WAITING_MAX = 256
# A route with a long list of headers takes some KiB.
_SPEC_BYTES_MAX = 256 * 1024
Etags = Sequence[str]
LIMITS_MAX = 16
LIMIT_COUNT_MAX = 2**53 - 1


class RouteChanges:
    """Changes of routes, used by the gRPC and the REST service. Without a `supervisor` nothing can be changed."""

    def __init__(self, gateway: Gateway, supervisor: Questions | None) -> None:
        self._gateway = gateway
        self._supervisor = supervisor

    async def create(self, consumer: Consumer, spec: Mapping[str, Any]) -> Route:
        """Creates a route and returns it.

        `spec` is a route in the terms of the config file, as JSON: name, route_type (or endpoint_type), model
        {provider, name, config} and the file's other keys, with provider keys in plain text.

        Raises permission_denied (not an admin), failed_precondition (managing routes is off), already_exists,
        invalid_request with every problem found, not_confirmed.
        """
        return await self._put(consumer, spec, replaces=False)

    async def update(self, consumer: Consumer, spec: Mapping[str, Any], etags: Etags = ()) -> Route:
        """Replaces all of a route that `create` made, and returns it. Its current version must be one of `etags`; without
        any, the version that this worker has in use when it is called.

        Raises what `create` raises, with route_not_found in place of already_exists, failed_precondition for a route of
        the config file, and conflict for another version.
        """
        return await self._put(consumer, spec, replaces=True, etags=etags)

    async def delete(self, consumer: Consumer, name: str, etags: Etags = ()) -> None:
        """Deletes a route that `create` made, with its key. Running calls finish. Raises what `update` raises."""
        self._require_managing(consumer)
        route = self._own(consumer, name)
        await self._ask(RemoveRoute(name, tuple(etags) or (route.version,)), consumer)

    async def set_limits(
        self, consumer: Consumer, route: str, limits: Sequence[Limit], etags: Etags = ()
    ) -> tuple[Limit, ...]:
        """Replaces the limits of a route, including one from the config file; an empty list removes them. Returns
        the limits in force. `etags`: see `update`, here of the limits.

        Works for admins whether or not routes are managed. Raises permission_denied, route_not_found,
        invalid_request, conflict, not_confirmed.
        """
        require_admin(consumer)
        before = self._own(consumer, route).limits
        _check(limits)
        builds_on = tuple(etags) or (limits_version(before),)
        changed = await self._ask(PutLimits(route, tuple(limits), builds_on), consumer)
        return changed.limits if changed is not None else ()

    async def get_limits(self, consumer: Consumer, route: str) -> tuple[Limit, ...]:
        """Returns the limits in force, to anyone who may call the route. Raises route_not_found."""
        return self._visible(consumer, route).limits

    async def _put(self, consumer: Consumer, spec: Mapping[str, Any], *, replaces: bool, etags: Etags = ()) -> Route:
        self._require_managing(consumer)
        if _json_bytes(spec) > _SPEC_BYTES_MAX:
            raise GatewayError(
                Kind.REQUEST_TOO_LARGE, f"The description of a route must not exceed {_SPEC_BYTES_MAX} bytes."
            )
        name = spec.get("name")
        builds_on = tuple(etags)
        if replaces and isinstance(name, str):
            builds_on = builds_on or (self._own(consumer, name).version,)
        changed = await self._ask(PutRoute(spec, replaces, builds_on), consumer)
        assert changed is not None
        return changed

    def _require_managing(self, consumer: Consumer) -> None:
        require_admin(consumer)
        if not self._gateway.snapshot.manage_routes:
            raise GatewayError(
                Kind.FAILED_PRECONDITION,
                "Managing routes through the API is off. Set `manage_routes: true` in the config.",
            )

    @property
    def managed(self) -> bool:
        """Whether the config lets admins create and delete routes."""
        return self._gateway.snapshot.manage_routes

    async def status(self, consumer: Consumer) -> GatewayStatus | None:
        """Returns the gateway's status for this consumer; None if the supervisor does not answer or there is none."""
        if self._supervisor is None:
            return None
        return await self._supervisor.status(consumer.name, operator=consumer.admin)

    def _visible(self, consumer: Consumer, name: str) -> Route:
        route = self._gateway.consumers.known(consumer, name)
        if route is None:
            raise no_route(name)
        return route

    def _own(self, consumer: Consumer, name: str) -> Route:
        """Returns the route to change. It must be addressed by its own name, not by an alias."""
        route = self._visible(consumer, name)
        if route.name != name:
            words = f'"{name[:128]}" is an alias of route "{route.name}". Use that name to change it.'
            raise GatewayError(Kind.FAILED_PRECONDITION, words, param="name")
        return route

    async def _ask(self, change: RouteChange, by: Consumer) -> Route | None:
        if self._supervisor is None:
            raise GatewayError(
                Kind.FAILED_PRECONDITION, "This worker runs without a supervisor and cannot change routes."
            )
        return await self._supervisor.ask(change, by.name)


class Questions:
    """A worker's open requests to its supervisor. `send` writes to the control socket."""

    def __init__(
        self,
        send: Callable[[ChangeRequest | StatusRequest], Awaitable[None]],
        *,
        answer_timeout_s: float = _ANSWER_TIMEOUT_S,
    ) -> None:
        self._send = send
        self._answer_timeout_s = answer_timeout_s
        self._open: dict[int, asyncio.Future[ChangeResult | StatusResult]] = {}
        self._last_number = 0

    async def ask(self, change: RouteChange, by: str) -> Route | None:
        """Asks for a change. Returns the route as it is now (None if it was deleted). Raises what the supervisor
        refuses with, and not_confirmed."""
        if len(self._open) >= _WAITING_MAX:
            raise GatewayError(Kind.OVERLOADED, "Too many changes of routes are pending. Try again later.")
        try:
            answer = await self._answer_to(lambda number: ChangeRequest(number, change, by), self._answer_timeout_s)
        except (TimeoutError, ConnectionError):
            raise GatewayError(
                Kind.NOT_CONFIRMED,
                "The change was not confirmed, but may have been made. Check the route before you repeat the change.",
            ) from None
        assert isinstance(answer, ChangeResult)
        if isinstance(answer.outcome, Refusal):
            raise answer.outcome.error()
        return answer.outcome

    async def status(self, consumer: str, *, operator: bool) -> GatewayStatus | None:
        """Returns the gateway's status; None if the supervisor does not answer in time."""
        if len(self._open) >= _WAITING_MAX:
            return None
        try:
            answer = await self._answer_to(lambda number: StatusRequest(number, consumer, operator), _STATUS_TIMEOUT_S)
        except (TimeoutError, ConnectionError):
            return None
        assert isinstance(answer, StatusResult)
        return answer.status

    async def _answer_to(
        self, request: Callable[[int], ChangeRequest | StatusRequest], timeout_s: float
    ) -> ChangeResult | StatusResult:
        """Raises TimeoutError, ConnectionError."""
        self._last_number += 1
        number = self._last_number
        answer: asyncio.Future[ChangeResult | StatusResult] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(request(number))
                return await answer
        finally:
            del self._open[number]

    def answered(self, answer: ChangeResult | StatusResult) -> None:
        """Delivers an answer of the supervisor, unless its request has been given up."""
        waiting = self._open.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def lost(self) -> None:
        """Fails all open requests: the supervisor is gone."""
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError())


def no_route(name: str) -> GatewayError:
    """The error for a route that does not exist, or that the caller may not know of; callers cannot tell the two
    apart."""
    return GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{name[:128]}".', param="name")


def _json_bytes(spec: Mapping[str, Any]) -> int:
    try:
        return len(json.dumps(spec, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        raise GatewayError(Kind.INVALID_REQUEST, "A route must be described by a JSON object.") from None


def _check(limits: Sequence[Limit]) -> None:
    if len(limits) > LIMITS_MAX:
        raise GatewayError(Kind.INVALID_REQUEST, f"A route can have at most {LIMITS_MAX} limits.", param="limits")
    for index, limit in enumerate(limits):
        where = f"limits[{index}]"
        if not 0 <= limit.count <= LIMIT_COUNT_MAX:
            raise GatewayError(
                Kind.INVALID_REQUEST, f"{where}: count must be from 0 to 2^53 - 1.", param=f"{where}.count"
            )
        least, most = (0, 0) if limit.unit == "concurrent" else (1, SECONDS_MAX)
        if not least <= limit.per_s <= most:
            rule = "0 for a limit of concurrent calls" if most == 0 else f"from 1 to {most:,}"
            text = f"{where}: per_seconds must be {rule}."
            raise GatewayError(Kind.INVALID_REQUEST, text, param=f"{where}.per_seconds")

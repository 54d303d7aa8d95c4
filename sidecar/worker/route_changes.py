"""Changes of routes at run time, as a worker sees them: may this caller make them, and what has the supervisor made of it?

The supervisor makes the change (sidecar/supervisor/route_admin.py): one at a time, files first, then every worker. When a method
here returns, every later call on any worker meets the change. A change that was not confirmed may have happened: the
caller gets not_confirmed.
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
from sidecar.gateway.consumers import require_admin
from sidecar.gateway.gateway import Gateway

# A reload waits up to 10 s for a worker that hangs and then replaces it; two changes may be waiting before this one.
_ANSWER_TIMEOUT_S = 30.0
# Somebody looks at a page: better one without numbers than none.
_STATUS_TIMEOUT_S = 5.0
# Changes are made one after the other at some tens of milliseconds: more than this waiting is a broken client.
_WAITING_MAX = 256
# A route with a long list of headers has some KiB.
_SPEC_BYTES_MAX = 256 * 1024
LIMITS_MAX = 16
LIMIT_COUNT_MAX = 2**53 - 1


class RouteChanges:
    """What both services call. `supervisor` is None where a worker runs without one: nothing can be changed then."""

    def __init__(self, gateway: Gateway, supervisor: Questions | None) -> None:
        self._gateway = gateway
        self._supervisor = supervisor

    async def create(self, consumer: Consumer, spec: Mapping[str, Any]) -> Route:
        """Makes a route and returns it. `spec` is a route in the config file's terms, as JSON has them: name, route_type (or
        endpoint_type), model {provider, name, config}, and the file's other keys; keys of providers are in it as they are.

        Raises permission_denied (no admin), failed_precondition (managing is off), already_exists, invalid_request with every
        problem found, not_confirmed."""
        return await self._put(consumer, spec, replaces=False)

    async def update(self, consumer: Consumer, spec: Mapping[str, Any]) -> Route:
        """Replaces a route that `create` made, whole, and returns it. Raises as `create`, but route_not_found in place of
        already_exists, and failed_precondition for a route of the config file."""
        return await self._put(consumer, spec, replaces=True)

    async def delete(self, consumer: Consumer, name: str) -> None:
        """Removes a route that `create` made, with its key. Calls under way finish. Raises as `update`."""
        self._require_managing(consumer)
        self._own(consumer, name)
        await self._ask(RemoveRoute(name), consumer)

    async def set_limits(self, consumer: Consumer, route: str, limits: Sequence[Limit]) -> tuple[Limit, ...]:
        """Replaces the limits of a route, also of one from the config file; none of them means no limit. Returns what holds.
        Works for admins whether or not routes are managed. Raises permission_denied, route_not_found, invalid_request,
        not_confirmed."""
        require_admin(consumer)
        self._own(consumer, route)
        _check(limits)
        changed = await self._ask(PutLimits(route, tuple(limits)), consumer)
        return changed.limits if changed is not None else ()

    async def get_limits(self, consumer: Consumer, route: str) -> tuple[Limit, ...]:
        """What holds now. For anybody who may call the route. Raises route_not_found."""
        return self._visible(consumer, route).limits

    async def _put(self, consumer: Consumer, spec: Mapping[str, Any], *, replaces: bool) -> Route:
        self._require_managing(consumer)
        if _json_bytes(spec) > _SPEC_BYTES_MAX:
            raise GatewayError(
                Kind.REQUEST_TOO_LARGE, f"A route must not be described in more than {_SPEC_BYTES_MAX} bytes."
            )
        name = spec.get("name")
        if replaces and isinstance(name, str):
            self._own(consumer, name)
        changed = await self._ask(PutRoute(spec, replaces), consumer)
        assert changed is not None
        return changed

    def _require_managing(self, consumer: Consumer) -> None:
        require_admin(consumer)
        if not self._gateway.snapshot.manage_routes:
            raise GatewayError(
                Kind.FAILED_PRECONDITION,
                "Routes cannot be managed through the API here. Set `manage_routes: true` in the config.",
            )

    @property
    def managed(self) -> bool:
        """Whether the config lets admins create and remove routes."""
        return self._gateway.snapshot.manage_routes

    async def status(self, consumer: Consumer) -> GatewayStatus | None:
        """As the supervisor knows it, for this consumer; None where it does not say so, or there is none."""
        if self._supervisor is None:
            return None
        return await self._supervisor.status(consumer.name, operator=consumer.admin)

    def _visible(self, consumer: Consumer, name: str) -> Route:
        route = self._gateway.consumers.known(consumer, name)
        if route is None:
            raise no_route(name)
        return route

    def _own(self, consumer: Consumer, name: str) -> None:
        """For what changes a route: its own name is asked for, not one of several that it answers."""
        route = self._visible(consumer, name)
        if route.name != name:
            words = f'"{name[:128]}" is another name of route "{route.name}". Change it under its own.'
            raise GatewayError(Kind.FAILED_PRECONDITION, words, param="name")

    async def _ask(self, change: RouteChange, by: Consumer) -> Route | None:
        if self._supervisor is None:
            raise GatewayError(Kind.FAILED_PRECONDITION, "This worker has no supervisor that could change routes.")
        return await self._supervisor.ask(change, by.name)


class Questions:
    """A worker's open questions to its supervisor. `send` writes to the control socket."""

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
        """The route as it is now (None: gone). Raises what the supervisor refuses, and not_confirmed."""
        if len(self._open) >= _WAITING_MAX:
            raise GatewayError(Kind.OVERLOADED, "Too many changes of routes are waiting.")
        try:
            answer = await self._answer_to(lambda number: ChangeRequest(number, change, by), self._answer_timeout_s)
        except (TimeoutError, ConnectionError):
            raise GatewayError(
                Kind.NOT_CONFIRMED, "The change was not confirmed, but may have been made. Check before you repeat it."
            ) from None
        assert isinstance(answer, ChangeResult)
        if isinstance(answer.outcome, Refusal):
            raise answer.outcome.error()
        return answer.outcome

    async def status(self, consumer: str, *, operator: bool) -> GatewayStatus | None:
        """How the gateway is; None where the supervisor does not say so in time."""
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
        """From the supervisor; nobody may be waiting for it any more."""
        waiting = self._open.get(answer.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def lost(self) -> None:
        """The supervisor is gone."""
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError())


def no_route(name: str) -> GatewayError:
    """For the caller, who cannot tell a route that is not there from one that is not for it."""
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
            rule = "0 for limits of concurrent calls" if most == 0 else f"from 1 to {most:,}"
            text = f"{where}: per_seconds must be {rule}."
            raise GatewayError(Kind.INVALID_REQUEST, text, param=f"{where}.per_seconds")

"""One call: find the route, choose the upstream, translate, send, account. Knows neither gRPC nor REST.

A caller's body in the upstream's own format is patched, not translated (decision 0006); everything else goes through the
canonical message. Both ways share everything else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from adapters import GatewayError, Kind
from adapters._vectors import as_asked
from sidecar.accounting import Record
from sidecar.attempt import Attempt, Plan, plan_for, prepare, read_answer, refuse_failed_answer, shown_safely
from sidecar.calls import Answer, Call, Piece
from sidecar.consumers import Consumers
from sidecar.credentials import Tokens
from sidecar.metrics import Metrics
from sidecar.snapshot import Route, Snapshot
from sidecar.streaming import StreamClock, pieces
from sidecar.upstream import UpstreamClient, UpstreamResponse
from sidecar.v1 import inference_pb2 as pb


class Gateway:
    """Serves calls by a snapshot; `snapshot` is replaced by one assignment, calls under way keep theirs."""

    def __init__(self, snapshot: Snapshot, client: UpstreamClient, metrics: Metrics) -> None:
        self._state: tuple[Snapshot, dict[str, Plan], Consumers] = (snapshot, {}, Consumers(snapshot))
        self._client = client
        self._tokens = Tokens()
        self._metrics = metrics

    @property
    def snapshot(self) -> Snapshot:
        return self._state[0]

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        self._state = (snapshot, {}, Consumers(snapshot))

    @property
    def consumers(self) -> Consumers:
        """By the newest snapshot."""
        return self._state[2]

    async def unary(self, call: Call) -> Answer:
        """Answers a call whole. Raises GatewayError, its message fit to be shown."""
        record = Record(self._metrics, call.operation, call.route, call.consumer.name)
        try:
            _, plans, consumers = self._state
            route = find_route(consumers.routes(call.consumer), call, record)
            plan = self._plan(route, plans)
            with shown_safely(plan.upstream, self._tokens):
                attempt = prepare(plan, call)
                return await self._unary(route, attempt, call, record)
        except BaseException as error:
            record.failed(error, deadline=call.deadline)
            raise
        finally:
            record.close()

    async def _unary(self, route: Route, attempt: Attempt, call: Call, record: Record) -> Answer:
        deadline = _deadline(route, call)
        name = attempt.upstream.provider
        record.upstream_begins(name)
        waiting = time.perf_counter()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._open(attempt, route)
                try:
                    body = await read_answer(response, route, attempt)
                finally:
                    response.close()
        except TimeoutError:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not answer in time.") from None
        finally:
            record.waited_s += time.perf_counter() - waiting
        if attempt.passthrough and attempt.side.check is not None:
            record.usage = attempt.side.check(body)
            return Answer(name, body=body)
        message = attempt.side.decode(body, attempt.context)
        if isinstance(message, pb.EmbedResponse) and isinstance(call.request, pb.EmbedRequest):
            as_asked(message, call.request)
        if message.HasField("usage"):
            record.usage = message.usage
        return Answer(name, message=message)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answers a call as it is produced. The first piece comes with the first semantic output, so a GatewayError raised
        before it can still become a status. Close the generator in any case: that closes the provider's socket."""
        record = Record(self._metrics, call.operation, call.route, call.consumer.name)
        try:
            _, plans, consumers = self._state
            route = find_route(consumers.routes(call.consumer), call, record)
            plan = self._plan(route, plans)
            with shown_safely(plan.upstream, self._tokens):
                attempt = prepare(plan, call)
                # aclosing, here and below: a generator that is closed while it waits for its caller leaves the one inside
                # it to the garbage collector, and the provider's socket with it.
                async with aclosing(self._stream(route, attempt, call, record)) as inner:
                    async for piece in inner:
                        suspended = time.perf_counter()
                        yield piece
                        record.waited_s += time.perf_counter() - suspended
        except BaseException as error:
            record.failed(error, deadline=call.deadline)
            raise
        finally:
            record.close()

    async def _stream(self, route: Route, attempt: Attempt, call: Call, record: Record) -> AsyncGenerator[Piece, None]:
        clock = StreamClock(route, _deadline(route, call))
        record.upstream_begins(attempt.upstream.provider)
        waiting = time.perf_counter()
        try:
            async with asyncio.timeout_at(clock.limit()):
                response = await self._open(attempt, route)
        except TimeoutError:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider sent no output in time.") from None
        finally:
            record.waited_s += time.perf_counter() - waiting
        try:
            await refuse_failed_answer(response, attempt)
            async with aclosing(pieces(response, route, attempt, call, record, clock)) as inner:
                async for piece in inner:
                    yield piece
            await response.finish()
        finally:
            response.close()

    async def _open(self, attempt: Attempt, route: Route) -> UpstreamResponse:
        upstream, headers = attempt.upstream, attempt.plan.headers
        if upstream.grant is None:
            return await self._client.open(attempt.http, upstream, headers, route.timeouts)
        headers = (*headers, await self._tokens.header(upstream))
        response = await self._client.open(attempt.http, upstream, headers, route.timeouts)
        if response.status == 401:
            self._tokens.forget(upstream)  # revoked before its time
        return response

    async def close(self) -> None:
        """Ends what calls have begun beside themselves."""
        await self._tokens.close()

    def _plan(self, route: Route, plans: dict[str, Plan]) -> Plan:
        plan = plans.get(route.name)
        if plan is None:
            plan = plans[route.name] = plan_for(route)
        return plan


def find_route(routes: Mapping[str, Route], call: Call, record: Record | None = None) -> Route:
    """The call's route, of those its consumer may call. Raises route_not_found, or invalid_request where it does something
    else."""
    route = routes.get(call.route)
    if route is None:
        raise GatewayError(Kind.ROUTE_NOT_FOUND, f'There is no route "{call.route[:128]}".', param="model")
    if record is not None:
        record.route_known()
    if route.task != call.task:
        raise GatewayError(
            Kind.INVALID_REQUEST,
            f'Route "{route.name}" is of type llm/v1/{route.task}, this call of llm/v1/{call.task}.',
            param="model",
        )
    return route


def _deadline(route: Route, call: Call) -> float:
    own = asyncio.get_running_loop().time() + route.timeouts.total_s
    return own if call.deadline is None else min(own, call.deadline)

"""One call: find the route, admit it, choose an upstream, translate, send, try again where that may help, account. Knows neither
gRPC nor REST.

A caller's body in the upstream's own format is patched, not translated (decision 0006); everything else goes through the
canonical message. Both ways share everything else. What is tried again and what is not: docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial

from adapters import GatewayError, Kind, Task, encode_vectors
from sidecar.domain.call import Answer, Call, Piece
from sidecar.domain.snapshot import Consumer, Route, Snapshot
from sidecar.gateway.admission import Admissions
from sidecar.gateway.attempt import Attempt, prepare, read_answer, refuse_failed_answer
from sidecar.gateway.candidates import Upstreams, Ways
from sidecar.gateway.consumers import Consumers
from sidecar.gateway.meter import Meter, Ticket
from sidecar.gateway.record import OK, Record
from sidecar.gateway.retries import Trial, Tries
from sidecar.gateway.stream import StreamClock, pieces
from sidecar.spend.cost import counts_output
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics
from sidecar.upstream.credentials import Tokens
from sidecar.upstream.http import UpstreamClient, UpstreamResponse
from sidecar.v1 import inference_pb2 as pb


class Gateway:
    """Serves calls by a snapshot; `snapshot` is replaced by one assignment, calls under way keep theirs.

    `chance` decides on weights, ties and jitter. Without a `meter` nothing is limited, without a `log`
    nothing is written.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        client: UpstreamClient,
        metrics: Metrics,
        chance: random.Random | None = None,
        meter: Meter | None = None,
        log: AccessLog | None = None,
    ) -> None:
        self._state: tuple[Snapshot, dict[str, Ways], Consumers] = (snapshot, {}, Consumers(snapshot))
        self._client = client
        self._tokens = Tokens()
        self._metrics = metrics
        self._chance = chance or random.Random()
        self._meter = meter or Meter(metrics)
        self._log = log
        self.upstreams = Upstreams(metrics)
        self.admissions = Admissions(snapshot)

    @property
    def snapshot(self) -> Snapshot:
        return self._state[0]

    @snapshot.setter
    def snapshot(self, snapshot: Snapshot) -> None:
        self._state = (snapshot, {}, Consumers(snapshot))
        self.upstreams.reload(snapshot)
        self.admissions.reload(snapshot)

    @property
    def consumers(self) -> Consumers:
        """By the newest snapshot."""
        return self._state[2]

    def record(self, operation: str, route: str, consumer: Consumer, request_id: str) -> Record:
        """What a call is counted and logged as. `close` it."""
        return Record(self._metrics, operation, route, consumer.name, request_id=request_id, log=self._log)

    async def unary(self, call: Call) -> Answer:
        """Answers a call whole. Raises GatewayError, its message fit to be shown."""
        record = self.record(call.operation, call.route, call.consumer, call.request_id)
        ticket: Ticket | None = None
        try:
            ways = await self._ways_of(call, record)
            ticket = self._meter.admit(call, ways.route)
            gate = await self.admissions.enter(ways.route)
            try:
                return await self._answered(ways, call, record)
            finally:
                self.admissions.leave(gate)
        except BaseException as error:
            record.failed(error, deadline=call.deadline)
            raise
        finally:
            record.close()
            if ticket is not None:
                _settle(ticket, ways, record)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answers a call as it is produced. The first piece comes with the first semantic output, so a GatewayError raised
        before it can still become a status. Close the generator in any case: that closes the provider's socket."""
        record = self.record(call.operation, call.route, call.consumer, call.request_id)
        ticket: Ticket | None = None
        try:
            ways = await self._ways_of(call, record)
            ticket = self._meter.admit(call, ways.route)
            gate = await self.admissions.enter(ways.route)
            try:
                # aclosing, here and below: a generator that is closed while it waits for its caller leaves the one inside
                # it to the garbage collector, and the provider's socket with it.
                async with aclosing(self._streamed(ways, call, record)) as inner:
                    async for piece in inner:
                        suspended = time.perf_counter()
                        yield piece
                        record.waited_s += time.perf_counter() - suspended
            finally:
                self.admissions.leave(gate)
        except BaseException as error:
            record.failed(error, deadline=call.deadline)
            raise
        finally:
            record.close()
            if ticket is not None:
                _settle(ticket, ways, record)

    async def _ways_of(self, call: Call, record: Record) -> Ways:
        """The upstreams of the call's route. Raises what `find_route` does."""
        _, plans, consumers = self._state
        route = find_route(consumers.routes(call.consumer), call, record)
        await consumers.prompts.check(call)
        call.write_s = route.timeouts.write_s
        ways = plans.get(route.name)
        if ways is None:
            ways = plans[route.name] = self.upstreams.ways_of(route)
        return ways

    async def _answered(self, ways: Ways, call: Call, record: Record) -> Answer:
        """One attempt after another, until there is an answer or no sense in more of them."""
        deadline = _deadline(ways.route, call)
        tries = Tries(ways, deadline, self._chance)
        while True:
            trial = Trial(tries, call, record, self.upstreams, self._tokens)
            try:
                with trial:
                    return await self._unary(tries, trial, call, record, deadline)
            except GatewayError as error:
                await _before_next(tries, trial, error, record)

    async def _unary(self, tries: Tries, trial: Trial, call: Call, record: Record, deadline: float) -> Answer:
        way, route = tries.way, tries.ways.route
        attempt = prepare(way.plan, call)
        trial.asks(attempt)
        waiting = time.perf_counter()
        try:
            async with asyncio.timeout_at(tries.limit()) as limit:
                response = await self._open(attempt, route, record)
                try:
                    body = await read_answer(response, route, attempt, limit, deadline)
                finally:
                    response.close()
        except TimeoutError:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not answer in time.") from None
        finally:
            record.waited_s += time.perf_counter() - waiting
        if attempt.passthrough and attempt.side.check is not None:
            record.usage = attempt.side.check(body)
            _measure(record, call, body)
            return Answer(way.name, body=body)
        message = attempt.side.decode(body, attempt.context)
        if isinstance(message, pb.EmbedResponse) and isinstance(call.request, pb.EmbedRequest):
            encode_vectors(message, call.request)
        if message.HasField("usage"):
            record.usage = message.usage
        _measure(record, call, body)
        return Answer(way.name, message=message)

    async def _streamed(self, ways: Ways, call: Call, record: Record) -> AsyncGenerator[Piece, None]:
        """One attempt after another, until one has output. From then on a failure is the caller's to hear."""
        deadline = _deadline(ways.route, call)
        tries = Tries(ways, deadline, self._chance)
        begun = False
        while True:
            trial = Trial(tries, call, record, self.upstreams, self._tokens)
            try:
                with trial:
                    async with aclosing(self._stream(tries, trial, call, record, deadline)) as inner:
                        async for piece in inner:
                            if not begun:
                                begun = True
                                trial.answered()
                            yield piece
                    return
            except GatewayError as error:
                if begun:
                    raise
                await _before_next(tries, trial, error, record)

    async def _stream(
        self, tries: Tries, trial: Trial, call: Call, record: Record, deadline: float
    ) -> AsyncGenerator[Piece, None]:
        route = tries.ways.route
        attempt = prepare(tries.way.plan, call)
        trial.asks(attempt)
        clock = StreamClock(route, deadline)
        response: UpstreamResponse | None = None
        try:
            waiting = time.perf_counter()
            try:
                async with asyncio.timeout_at(clock.limit()):
                    response = await self._open(attempt, route, record)
                    await refuse_failed_answer(response, attempt)
            except TimeoutError:
                raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider sent no output in time.") from None
            finally:
                record.waited_s += time.perf_counter() - waiting
            async with aclosing(pieces(response, route, attempt, call, record, clock)) as inner:
                async for piece in inner:
                    yield piece
            await response.finish()
        finally:
            if response is not None:
                response.close()

    async def _open(self, attempt: Attempt, route: Route, record: Record) -> UpstreamResponse:
        upstream, headers = attempt.upstream, attempt.plan.headers
        # One resend a call is beside the budget: after it no further attempt meets another stale connection.
        send = partial(self._client.open, sent_anew=record.sent_anew, fresh=record.resent)
        if upstream.grant is None:
            return await send(attempt.http, upstream, headers, route.timeouts)
        headers = (*headers, await self._tokens.header(upstream))
        response = await send(attempt.http, upstream, headers, route.timeouts)
        if response.status == 401:
            self._tokens.forget(upstream)  # revoked before its time
        return response

    async def close(self) -> None:
        """Ends what calls have begun beside themselves."""
        await self._tokens.close()


def _measure(record: Record, call: Call, body: bytes) -> None:
    """What there is to go by where a provider counts nothing."""
    if call.task is not Task.EMBEDDINGS and not counts_output(record.usage):
        record.output_chars = len(body)


def _settle(ticket: Ticket, ways: Ways, record: Record) -> None:
    """At the price of the upstream that was asked last."""
    upstream = next((way.plan.upstream for way in ways.all if way.name == record.upstream), None)
    output_tokens = record.output_tokens_estimated
    ticket.settle(ok=record.outcome == OK, usage=record.usage, output_tokens=output_tokens, upstream=upstream)


async def _before_next(tries: Tries, trial: Trial, error: GatewayError, record: Record) -> None:
    """Waits until the next attempt. Raises what the caller is to hear when there is none."""
    wait_s = tries.wait_after(error, record, asked=trial.asked)
    if wait_s is None:
        raise tries.verdict(error)
    if wait_s > 0:
        waiting = time.perf_counter()
        try:
            await asyncio.sleep(wait_s)
        finally:
            record.waited_s += time.perf_counter() - waiting


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

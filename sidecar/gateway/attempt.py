"""One attempt of a call at one upstream: encode the request, send it, read and check the answer."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adapters import (
    BYTE_ORDER_MARK,
    FORMATS,
    ClientSide,
    Context,
    Envelope,
    Format,
    GatewayError,
    HttpCall,
    Kind,
    ProviderSide,
    Target,
    Task,
    allowed,
    encode_vectors,
    inputs_in,
    service_tier_in,
    side_of,
)
from sidecar.domain.call import Call
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Route, Upstream, target_of
from sidecar.gateway.read_answer import read_answer, too_large
from sidecar.gateway.record import Record, counts_output
from sidecar.upstream import TimeLimit, UpstreamClient, UpstreamResponse
from sidecar.upstream.credentials import AccessTokens, headers_for, with_callers
from sidecar.v1 import inference_pb2 as pb

Pairs = tuple[tuple[str, str], ...]


class Passing(NamedTuple):
    """How bodies of one client format pass through untranslated."""

    side: ProviderSide
    patch: Callable[[Envelope], HttpCall]


@dataclass(frozen=True, slots=True)
class UpstreamPlan:
    """Everything that calls of one route to one upstream have in common. Built once per snapshot."""

    upstream: Upstream
    target: Target
    format: Format
    side: ProviderSide | None
    headers: tuple[tuple[str, str], ...]  # includes the API key, but not a token that has to be fetched
    # keyed by the caller's format, for bodies that pass through
    passing: Mapping[str, Passing] = field(default_factory=dict)
    prices_tiers: bool = False  # the price depends on the service tier


def plan_for(upstream: Upstream, task: Task) -> UpstreamPlan:
    target = target_of(upstream)
    api = target.options.get("chat_api") if task is Task.CHAT else None
    format_ = FORMATS[api if api in target.provider.also else target.provider.format]
    side = side_of(format_, target, task)
    passing = {}
    if side is not None and side.patch_for is not None:
        passing[format_.name] = Passing(side, side.patch_for(target))
    for name in target.provider.also if api is None else ():
        other = FORMATS[name].provider.get(task)
        if other is not None and other.patch_for is not None and other.offered(target):
            passing[name] = Passing(other, other.patch_for(target))
    tiers = upstream.price is not None and bool(upstream.price.tiers) and task is not Task.EMBEDDINGS
    return UpstreamPlan(upstream, target, format_, side, headers_for(upstream, target.provider), passing, tiers)


class CallReader:
    """Decodes a call's body at most once, in the first attempt that needs it translated."""

    __slots__ = ("_decoded", "_left_out", "call")

    def __init__(self, call: Call) -> None:
        self.call = call
        self._decoded: Any = call.request
        self._left_out: tuple[str, ...] = ()  # filled while the body is read, by formats that report it then

    def request_for(self, target: Target) -> Any:
        """Returns the canonical request, adapted to this upstream. Raises GatewayError for a malformed body."""
        call = self.call
        if call.client_format is None:
            return self._decoded
        side = FORMATS[call.client_format].client[call.task]
        self._read(side)
        return self._decoded if side.fit is None else side.fit(self._decoded, target)

    def _read(self, side: ClientSide) -> None:
        if self._decoded is not None:
            return
        envelope = self.call.envelope
        assert envelope is not None
        if side.read is None:
            self._decoded = side.decode_request(envelope)
        else:
            self._decoded, self._left_out = side.read(envelope)

    def left_out_for(self, target: Target) -> tuple[str, ...]:
        """Returns the members that only the caller's format can express and that are left out. Raises GatewayError
        for one that must not be left out."""
        call = self.call
        if call.client_format is None or call.envelope is None:
            return ()
        side = FORMATS[call.client_format].client[call.task]
        if side.read is not None:
            self._read(side)
            more = () if side.leaves is None else side.leaves(self._decoded, target)
            return allowed(target, (*self._left_out, *more))
        return () if side.foreign is None else allowed(target, side.foreign(call.envelope, target))


class PreparedCall(NamedTuple):
    """A call encoded for one upstream. `request` is None if the caller's body passes through untranslated."""

    plan: UpstreamPlan
    side: ProviderSide
    request: Any
    http: HttpCall
    context: Context

    @property
    def passes(self) -> bool:
        """Whether request and answer pass through untranslated."""
        return self.request is None


def prepare(plan: UpstreamPlan, reader: CallReader) -> PreparedCall:
    """Encodes the call for the upstream. Raises GatewayError if the upstream cannot express it."""
    call, side = reader.call, plan.side
    if call.counts:
        return _prepare_count(plan, reader)
    if call.compacts:
        return _prepare_compact(plan, call)
    if side is None or (call.stream and side.stream is None):
        what = f"{'streamed ' * call.stream}{call.task}"
        raise GatewayError(Kind.INVALID_REQUEST, f"Provider '{plan.upstream.provider}' does not support {what}.")
    context = Context(int(time.time()), new_id, plan.target.model)
    if call.envelope is not None and (passing := plan.passing.get(call.client_format or "")) is not None:
        return PreparedCall(plan, passing.side, None, passing.patch(call.envelope), context)
    left_out = reader.left_out_for(plan.target)
    request = reader.request_for(plan.target)
    http = side.encode(request, plan.target, call.stream, context)
    if left_out:
        http = http._replace(left_out=(*http.left_out, *left_out))
    return PreparedCall(plan, side, request, http, context)


def _prepare_count(plan: UpstreamPlan, reader: CallReader) -> PreparedCall:
    """Encodes a token-counting call. Raises upstream_not_found if the provider cannot count; another upstream may
    be able to."""
    call = reader.call
    context = Context(int(time.time()), new_id, plan.target.model)
    passing = plan.passing.get(call.client_format or "")
    counting = None if passing is None else passing.side.counting
    if counting is not None and counting.patch_for is not None:
        assert call.envelope is not None
        return PreparedCall(plan, counting, None, counting.patch_for(plan.target)(call.envelope), context)
    if passing is not None or plan.side is None or plan.side.counting is None:
        raise GatewayError(Kind.UPSTREAM_NOT_FOUND, f"Provider '{plan.upstream.provider}' cannot count tokens.")
    reader.left_out_for(plan.target)  # may raise
    counting, request = plan.side.counting, reader.request_for(plan.target)
    return PreparedCall(plan, counting, None, counting.encode(request, plan.target, False, context), context)


def _prepare_compact(plan: UpstreamPlan, call: Call) -> PreparedCall:
    """Encodes a compaction call. Raises unsupported_parameter if the provider cannot compact; another upstream may
    be able to."""
    passing = plan.passing.get(call.client_format or "")
    compacting = None if passing is None else passing.side.compacting
    if compacting is None or compacting.patch_for is None or call.envelope is None:
        text = (
            f"Provider '{plan.upstream.provider}' cannot compact a conversation. Ask for a summary with POST /v1/responses and "
            "continue from it."
        )
        raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param="model")
    context = Context(int(time.time()), new_id, plan.target.model)
    return PreparedCall(plan, compacting, None, compacting.patch_for(plan.target)(call.envelope), context)


def new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


class Sender:
    """Sends prepared calls with the credentials of their upstream."""

    __slots__ = ("_client", "now_s", "tokens")

    def __init__(self, client: UpstreamClient) -> None:
        self._client = client
        self.now_s = client.now_s
        self.tokens = AccessTokens()

    def open(
        self, prepared: PreparedCall, route: Route, record: Record, until_s: float | None = None
    ) -> Awaitable[UpstreamResponse]:
        """Sends the call and returns the response once its head has arrived; the caller closes it. Raises
        GatewayError, and TimeoutError when `until_s` (event loop time) passes first."""
        upstream, headers = prepared.plan.upstream, prepared.plan.headers
        if prepared.http.callers_headers:
            headers = with_callers(headers, prepared.http.callers_headers)
        if upstream.grant is not None:
            return self._open_with_token(prepared, headers, route, record, until_s)
        # The resend after a stale connection happens once per call and is not counted as a retry: every later
        # attempt opens a fresh connection.
        return self._client.open(
            prepared.http, upstream, headers, route.timeouts, record.count_resend, fresh=record.resent, until_s=until_s
        )

    async def _open_with_token(
        self, prepared: PreparedCall, headers: Pairs, route: Route, record: Record, until_s: float | None
    ) -> UpstreamResponse:
        upstream, resends = prepared.plan.upstream, record.count_resend
        if until_s is None:
            token = await self.tokens.header(upstream)
        else:
            async with TimeLimit(until_s):
                token = await self.tokens.header(upstream)
        response = await self._client.open(
            prepared.http, upstream, (*headers, token), route.timeouts, resends, fresh=record.resent, until_s=until_s
        )
        if response.status == 401:
            self.tokens.forget(upstream)  # revoked before it expired
        return response


async def whole_answer(
    sender: Sender, prepared: PreparedCall, call: Call, route: Route, record: Record, *, head_by: float, deadline: float
) -> tuple[bytes | None, Any, int]:
    """Sends the call and reads the whole answer.

    Returns (body, message, size in bytes); body is None if the answer was translated, message is None if it passes
    through. The head must arrive by `head_by`; after that, no pause may exceed the route's `idle_s`, and the body
    must be complete by `deadline`. Both are event loop times. Raises GatewayError.
    """
    waiting = time.perf_counter()
    try:
        response = await sender.open(prepared, route, record, head_by)
        try:
            body = response.take_whole() if 200 <= response.status < 300 else None
            if body is None:
                body = await read_answer(response, route, prepared.plan.format, deadline)
            elif len(body) > route.response_bytes_max:
                raise too_large(route.response_bytes_max)
            else:
                body = body.removeprefix(BYTE_ORDER_MARK)
        finally:
            response.close()
    except TimeoutError:
        raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not answer in time.") from None
    finally:
        record.waited_s += time.perf_counter() - waiting
    size = len(body)
    message = None
    if prepared.passes and prepared.side.check is not None:
        check = prepared.side.check
        inputs = (
            _inputs_of(call) if call.size_bytes <= LARGE_BYTES else await off_loop(call.size_bytes, _inputs_of, call)
        )
        record.usage = check(body, *inputs) if size <= LARGE_BYTES else await off_loop(size, check, body, *inputs)
    else:
        message = _decoded(prepared, body) if size <= LARGE_BYTES else await off_loop(size, _decoded, prepared, body)
        if message.HasField("usage"):
            record.usage = message.usage
    if prepared.plan.prices_tiers:
        record.service_tier = await off_loop(size, service_tier_in, body)
    if call.task is not Task.EMBEDDINGS and not call.counts and not counts_output(record.usage):
        record.output_chars = size  # the only basis for an estimate if the provider reports no usage
    return (body, None, size) if message is None else (None, message, size)


def _inputs_of(call: Call) -> tuple[int | None, ...]:
    """The number of expected vectors, as arguments for a response check."""
    if call.task is not Task.EMBEDDINGS or call.envelope is None:
        return ()
    return (inputs_in(call.envelope.members.get("input", b"")),)


def _decoded(prepared: PreparedCall, body: bytes) -> Any:
    message = prepared.side.decode(body, prepared.context)
    if isinstance(message, pb.EmbedResponse) and isinstance(prepared.request, pb.EmbedRequest):
        encode_vectors(message, prepared.request)
    return message

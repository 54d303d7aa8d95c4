"""One attempt of a call at one upstream: what is sent, whether its answer is one, and errors that are fit to be shown."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from adapters import (
    BYTE_ORDER_MARK,
    FORMATS,
    ClientSide,
    Context,
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
    replace_error,
    service_tier_in,
    side_of,
)
from sidecar.domain.call import Call
from sidecar.domain.large_work import LARGE_BYTES, off_loop
from sidecar.domain.snapshot import Route, Upstream, target_of
from sidecar.gateway.record import Record
from sidecar.spend.cost import counts_output
from sidecar.upstream import TimeLimit, UpstreamClient, UpstreamResponse, read_failure
from sidecar.upstream.credentials import AccessTokens, headers_for, redact, with_callers
from sidecar.v1 import inference_pb2 as pb

# A failed answer's body: enough for any provider's error object, and for the head of an HTML page.
_ERROR_BODY_BYTES_MAX = 256 * 1024
_ERROR_BODY_S = 10.0


@dataclass(frozen=True, slots=True)
class UpstreamPlan:
    """What every call of a route to an upstream has in common; made once per snapshot."""

    upstream: Upstream
    target: Target
    format: Format
    side: ProviderSide | None
    headers: tuple[tuple[str, str], ...]  # with the key; without the token where one is fetched
    passing: Mapping[str, ProviderSide] = field(default_factory=dict)  # by the format of callers whose bodies pass
    prices_tiers: bool = False  # the price depends on the tier in which the provider does the work


def plan_for(upstream: Upstream, task: Task) -> UpstreamPlan:
    target = target_of(upstream)
    api = target.options.get("chat_api") if task is Task.CHAT else None
    format_ = FORMATS[api if api in target.provider.also else target.provider.format]
    side = side_of(format_, target, task)
    passing = {} if side is None or side.patch is None else {format_.name: side}
    for name in target.provider.also if api is None else ():
        other = FORMATS[name].provider.get(task)
        if other is not None and other.patch is not None and other.offered(target):
            passing[name] = other
    tiers = upstream.price is not None and bool(upstream.price.tiers) and task is not Task.EMBEDDINGS
    return UpstreamPlan(upstream, target, format_, side, headers_for(upstream, target.provider), passing, tiers)


class CallReader:
    """A call whose body is decoded once, by the first attempt that translates it, for all of them."""

    __slots__ = ("_decoded", "_left_out", "call")

    def __init__(self, call: Call) -> None:
        self.call = call
        self._decoded: Any = call.request
        self._left_out: tuple[str, ...] = ()  # of a format that tells it while the body is read

    def request_for(self, target: Target) -> Any:
        """The canonical message, as the caller's format means it for this upstream. Raises GatewayError for a malformed body."""
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
        """What of the body only the caller's format has a place for. Raises GatewayError for what cannot be left out."""
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
    """A call, encoded for one upstream. `request` is None where the caller's format is the provider's and its body passes."""

    plan: UpstreamPlan
    side: ProviderSide
    request: Any
    http: HttpCall
    context: Context

    @property
    def passes(self) -> bool:
        """Whether bytes go through as they are, both ways."""
        return self.request is None


def prepare(plan: UpstreamPlan, reader: CallReader) -> PreparedCall:
    """Encodes the call for the upstream. Raises GatewayError for what the upstream has no place for."""
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
        assert passing.patch is not None
        return PreparedCall(plan, passing, None, passing.patch(call.envelope, plan.target), context)
    left_out = reader.left_out_for(plan.target)
    request = reader.request_for(plan.target)
    http = side.encode(request, plan.target, call.stream, context)
    if left_out:
        http = replace(http, left_out=(*http.left_out, *left_out))
    return PreparedCall(plan, side, request, http, context)


def _prepare_count(plan: UpstreamPlan, reader: CallReader) -> PreparedCall:
    """Of a call that only counts. Raises upstream_not_found where the provider does not: another upstream may."""
    call = reader.call
    context = Context(int(time.time()), new_id, plan.target.model)
    passing = plan.passing.get(call.client_format or "")
    if passing is not None and passing.counting is not None and passing.counting.patch is not None:
        assert call.envelope is not None
        counting = passing.counting
        return PreparedCall(plan, counting, None, passing.counting.patch(call.envelope, plan.target), context)
    if passing is not None or plan.side is None or plan.side.counting is None:
        raise GatewayError(Kind.UPSTREAM_NOT_FOUND, f"Provider '{plan.upstream.provider}' counts no tokens.")
    reader.left_out_for(plan.target)  # which may refuse
    counting, request = plan.side.counting, reader.request_for(plan.target)
    return PreparedCall(plan, counting, None, counting.encode(request, plan.target, False, context), context)


def _prepare_compact(plan: UpstreamPlan, call: Call) -> PreparedCall:
    """Raises unsupported_parameter where the provider has no such call: another upstream may."""
    passing = plan.passing.get(call.client_format or "")
    compacting = None if passing is None else passing.compacting
    if compacting is None or compacting.patch is None or call.envelope is None:
        text = (
            f"Provider '{plan.upstream.provider}' cannot compact a conversation. Ask for a summary by POST /v1/responses, and "
            "go on from that."
        )
        raise GatewayError(Kind.UNSUPPORTED_PARAMETER, text, param="model")
    context = Context(int(time.time()), new_id, plan.target.model)
    return PreparedCall(plan, compacting, None, compacting.patch(call.envelope, plan.target), context)


def new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


class Sender:
    """Sends prepared calls with the credentials of their upstream."""

    __slots__ = ("_client", "tokens")

    def __init__(self, client: UpstreamClient) -> None:
        self._client = client
        self.tokens = AccessTokens()

    async def open(self, prepared: PreparedCall, route: Route, record: Record) -> UpstreamResponse:
        """Waits for the head of the answer. Raises GatewayError; close what it returns."""
        upstream, headers = prepared.plan.upstream, prepared.plan.headers
        if prepared.http.callers_headers:
            headers = with_callers(headers, prepared.http.callers_headers)
        # One resend a call is not counted as a retry: after it no further attempt meets another stale connection.
        send = partial(self._client.open, on_resend=record.resends, fresh=record.resent)
        if upstream.grant is None:
            return await send(prepared.http, upstream, headers, route.timeouts)
        headers = (*headers, await self.tokens.header(upstream))
        response = await send(prepared.http, upstream, headers, route.timeouts)
        if response.status == 401:
            self.tokens.forget(upstream)  # revoked before its time
        return response


async def whole_answer(
    sender: Sender, prepared: PreparedCall, call: Call, route: Route, record: Record, *, head_by: float, deadline: float
) -> tuple[bytes | None, Any, int]:
    """Sends the call and reads its answer: the body where it passes, else the message, and its size. The head must be here by
    `head_by`, the rest without a silence of idle_s and by the deadline. Raises GatewayError."""
    waiting = time.perf_counter()
    try:
        async with TimeLimit(head_by) as limit:
            response = await sender.open(prepared, route, record)
            try:
                body = await _read_answer(response, route, prepared, limit, deadline)
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
        record.output_chars = size  # what there is to go by where a provider counts nothing
    return (body, None, size) if message is None else (None, message, size)


def _inputs_of(call: Call) -> tuple[int | None, ...]:
    """How many vectors are due, where any are."""
    if call.task is not Task.EMBEDDINGS or call.envelope is None:
        return ()
    return (inputs_in(call.envelope.members.get("input", b"")),)


def _decoded(prepared: PreparedCall, body: bytes) -> Any:
    message = prepared.side.decode(body, prepared.context)
    if isinstance(message, pb.EmbedResponse) and isinstance(prepared.request, pb.EmbedRequest):
        encode_vectors(message, prepared.request)
    return message


async def _read_answer(
    response: UpstreamResponse, route: Route, prepared: PreparedCall, limit: TimeLimit, deadline: float
) -> bytes:
    """The body of a good answer. Raises the provider's error for any other. `limit` is the clock under which this runs: from now
    on it ends at a silence of idle_s, or at the deadline."""
    idle_s = route.timeouts.idle_s
    now_s = asyncio.get_running_loop().time
    limit.move(min(now_s() + idle_s, deadline))
    if not 200 <= response.status < 300:
        await refuse_failed_answer(response, prepared)
    return await _read_body(response, route.response_bytes_max, lambda: limit.move(min(now_s() + idle_s, deadline)))


async def _read_body(
    response: UpstreamResponse, bytes_max: int, goes_on: Callable[[], None] | None = None, *, cut: bool = False
) -> bytes:
    """The body. Larger than `bytes_max`: cut there, or upstream_protocol. `goes_on` is called when something has come, but not
    all."""
    parts: list[bytes] = []
    size = 0
    while True:
        try:
            data = await response.read_some()
        except TimeoutError:
            raise  # the caller's clock
        except Exception as error:  # noqa: BLE001  # it is raised again
            failure = without_output(read_failure(error))
            raise failure from cause_of(failure, error)
        if not data:
            return (parts[0] if len(parts) == 1 else b"".join(parts)).removeprefix(BYTE_ORDER_MARK)
        size += len(data)
        parts.append(data)
        if size > bytes_max:
            if cut:
                return b"".join(parts)[:bytes_max]
            raise too_large(bytes_max)
        if goes_on is not None and not response.ended:
            goes_on()


def cause_of(failure: GatewayError, error: BaseException) -> BaseException | None:
    """What `failure`, made of `error` or the same, is to be raised from: never itself."""
    return failure.__cause__ or (None if failure is error else error)


def without_output(error: GatewayError) -> GatewayError:
    """What breaks off before the caller has seen any of it is no interruption yet: another upstream may answer."""
    return replace_error(error, kind=Kind.UPSTREAM_PROTOCOL) if error.kind is Kind.UPSTREAM_INTERRUPTED else error


def too_large(bytes_max: int) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is larger than {bytes_max} bytes.")


async def refuse_failed_answer(response: UpstreamResponse, prepared: PreparedCall) -> None:
    """Raises what a status other than 2xx means."""
    if 200 <= response.status < 300:
        return
    if 300 <= response.status < 400:
        text = "The provider answered with a redirect, which is not followed."
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, text, status=response.status)
    try:
        async with asyncio.timeout(_ERROR_BODY_S):
            body = await _read_body(response, _ERROR_BODY_BYTES_MAX, cut=True)
    except (GatewayError, TimeoutError):
        body = b""  # the status alone is enough
    raise prepared.plan.format.error(response.status, response.headers, body)


def showable(error: GatewayError, upstream: Upstream, tokens: AccessTokens) -> GatewayError:
    """The error without keys, and with our own text in place of a provider's about our credentials."""
    token = tokens.current(upstream)
    message = redact(error.message, upstream, token)
    code = error.code
    if error.kind is Kind.UPSTREAM_REJECTED_CREDENTIALS:
        message, code = f"Provider '{upstream.provider}' rejected the gateway's credentials.", None
    code = None if code is None else redact(code, upstream, token)
    param = None if error.param is None else redact(error.param, upstream, token)
    if (message, code, param) == (error.message, error.code, error.param):
        return error
    return replace_error(error, message=message, code=code, param=param)

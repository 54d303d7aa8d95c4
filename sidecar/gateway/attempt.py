"""One try of a call at one upstream: what is sent, whether its answer is one, and errors that are fit to be shown."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from adapters import FORMATS, Context, Format, GatewayError, HttpCall, Kind, ProviderSide, Target, Task, side_of
from sidecar.domain.call import Call
from sidecar.domain.snapshot import Route, Upstream, target_of
from sidecar.upstream import UpstreamResponse, read_failure
from sidecar.upstream.credentials import Tokens, headers_for, redact

log = logging.getLogger(__name__)

# A failed answer's body: enough for any provider's error object, and for the head of an HTML page.
_ERROR_BODY_BYTES_MAX = 256 * 1024
_ERROR_BODY_S = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What every call of a route to an upstream has in common; made once per snapshot."""

    upstream: Upstream
    target: Target
    format: Format
    side: ProviderSide | None
    headers: tuple[tuple[str, str], ...]  # with the key; without the token where one is fetched


def plan_for(upstream: Upstream, task: Task) -> Plan:
    target = target_of(upstream)
    format_ = FORMATS[target.provider.format]
    return Plan(upstream, target, format_, side_of(format_, target, task), headers_for(upstream, target.provider))


@dataclass(slots=True)
class Attempt:
    """An upstream, ready to be called. `passthrough`: the caller's format is the provider's."""

    plan: Plan
    side: ProviderSide
    passthrough: bool
    http: HttpCall
    context: Context

    @property
    def upstream(self) -> Upstream:
        return self.plan.upstream


def prepare(plan: Plan, call: Call) -> Attempt:
    """Encodes the call for the upstream; the caller's body is decoded once for all attempts. Raises GatewayError for what the
    upstream cannot say."""
    side = plan.side
    if side is None or (call.stream and side.stream is None):
        what = f"{'streamed ' * call.stream}{call.task}"
        raise GatewayError(Kind.INVALID_REQUEST, f'Provider "{plan.upstream.provider}" has no {what}.')
    context = Context(int(time.time()), _new_id, plan.target.model)
    if call.envelope is not None and call.client_format == plan.format.name and side.patch is not None:
        return Attempt(plan, side, True, side.patch(call.envelope, plan.target), context)
    if call.request is None:
        assert call.envelope is not None
        assert call.client_format is not None
        call.request = FORMATS[call.client_format].client[call.task].decode_request(call.envelope)
    request = call.request
    if call.client_format is not None and (fit := FORMATS[call.client_format].client[call.task].fit) is not None:
        request = fit(request, plan.target)
    return Attempt(plan, side, False, side.encode(request, plan.target, call.stream, context), context)


def _new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


async def read_answer(
    response: UpstreamResponse, route: Route, attempt: Attempt, limit: asyncio.Timeout, deadline: float
) -> bytes:
    """The body of a good answer. Raises the provider's error for any other. `limit` is the clock under which this runs: from now
    on it ends at a silence of idle_s, or at the deadline."""
    idle_s = route.timeouts.idle_s
    limit.reschedule(min(asyncio.get_running_loop().time() + idle_s, deadline))
    await refuse_failed_answer(response, attempt)

    def goes_on() -> None:
        limit.reschedule(min(asyncio.get_running_loop().time() + idle_s, deadline))

    return await _read_body(response, route.response_bytes_max, goes_on)


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
        except Exception as error:
            raise without_output(read_failure(error)) from error
        if not data:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        size += len(data)
        parts.append(data)
        if size > bytes_max:
            if cut:
                return b"".join(parts)[:bytes_max]
            raise too_large(bytes_max)
        if goes_on is not None and not response.ended:
            goes_on()


def without_output(error: GatewayError) -> GatewayError:
    """What breaks off before the caller has seen any of it is no interruption yet: another upstream may answer."""
    if error.kind is Kind.UPSTREAM_INTERRUPTED:
        error.kind = Kind.UPSTREAM_PROTOCOL
    return error


def too_large(bytes_max: int) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is larger than {bytes_max} bytes.")


async def refuse_failed_answer(response: UpstreamResponse, attempt: Attempt) -> None:
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
        body = b""  # the status alone says enough
    raise attempt.plan.format.error(response.status, response.headers, body)


def make_showable(error: GatewayError, upstream: Upstream, tokens: Tokens) -> None:
    """Takes keys out of an error's text and puts our own words in place of a provider's about our credentials."""
    token = tokens.current(upstream)
    error.message = redact(error.message, upstream, token)
    if error.kind is not Kind.INVALID_REQUEST and error.status is not None:
        log.warning("provider %s answered %s: %s", upstream.provider, error.status, error.message)
    if error.kind is Kind.UPSTREAM_REJECTED_CREDENTIALS:
        error.message = f'Provider "{upstream.provider}" rejected the gateway\'s credentials.'
        error.code = None
    error.args = (error.message,)
    if error.code is not None:
        error.code = redact(error.code, upstream, token)
    if error.param is not None:
        error.param = redact(error.param, upstream, token)

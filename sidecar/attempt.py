"""One try of a call at one upstream: what is sent, whether its answer is one, and errors that are fit to be shown."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import dataclass

from adapters import FORMATS, Context, Format, GatewayError, HttpCall, Kind, ProviderSide, Target, side_of
from sidecar.calls import Call
from sidecar.credentials import Tokens, headers_for, redact
from sidecar.snapshot import Route, Upstream, target_of
from sidecar.upstream import UpstreamResponse, read_failure

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


def plan_for(route: Route) -> Plan:
    upstream = route.upstreams[0]
    target = target_of(upstream)
    format_ = FORMATS[target.provider.format]
    return Plan(upstream, target, format_, side_of(format_, target, route.task), headers_for(upstream, target.provider))


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
    """Encodes the call for the upstream. Raises GatewayError for what it cannot say."""
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
    return Attempt(plan, side, False, side.encode(call.request, plan.target, call.stream, context), context)


def _new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


async def read_answer(response: UpstreamResponse, route: Route, attempt: Attempt) -> bytes:
    """The body of a good answer. Raises the provider's error for any other."""
    await refuse_failed_answer(response, attempt)
    return await _read_body(response, route.response_bytes_max)


async def _read_body(response: UpstreamResponse, bytes_max: int, *, cut: bool = False) -> bytes:
    """The body. Larger than `bytes_max`: cut there, or upstream_protocol."""
    parts: list[bytes] = []
    size = 0
    while True:
        try:
            data = await response.read_some()
        except TimeoutError:
            raise  # the caller's clock
        except Exception as error:
            raise read_failure(error) from error
        if not data:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        size += len(data)
        parts.append(data)
        if size > bytes_max:
            if cut:
                return b"".join(parts)[:bytes_max]
            raise too_large(bytes_max)


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


class shown_safely:  # noqa: N801 - reads as a phrase at its place of use
    """Takes keys out of an error's text and puts our own words in place of a provider's about our credentials."""

    __slots__ = ("_tokens", "_upstream")

    def __init__(self, upstream: Upstream, tokens: Tokens) -> None:
        self._upstream = upstream
        self._tokens = tokens

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, GatewayError):
            return
        error.message = self._redacted(error.message)
        if error.kind is not Kind.INVALID_REQUEST and error.status is not None:
            log.warning("provider %s answered %s: %s", self._upstream.provider, error.status, error.message)
        if error.kind is Kind.UPSTREAM_REJECTED_CREDENTIALS:
            error.message = f'Provider "{self._upstream.provider}" rejected the gateway\'s credentials.'
            error.code = None
        error.args = (error.message,)
        if error.code is not None:
            error.code = self._redacted(error.code)
        if error.param is not None:
            error.param = self._redacted(error.param)

    def _redacted(self, text: str) -> str:
        return redact(text, self._upstream, self._tokens.current(self._upstream))

"""Reads whole and failed answers within limits, and makes errors safe to show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters import BYTE_ORDER_MARK, Format, GatewayError, Kind, replace_error
from sidecar.domain.snapshot import Route, Upstream
from sidecar.upstream import TimeLimit, UpstreamResponse, read_failure
from sidecar.upstream.credentials import AccessTokens, redact

# Enough for any provider's error object and for the beginning of an HTML page.
_ERROR_BODY_BYTES_MAX = 256 * 1024
_ERROR_BODY_S = 10.0


async def read_answer(response: UpstreamResponse, route: Route, format_: Format, deadline: float) -> bytes:
    """Returns the body of a successful answer. Raises the provider's error for any other status, and TimeoutError
    after a pause of `idle_s` or at `deadline` (event loop time)."""
    now_s, idle_s = asyncio.get_running_loop().time, route.timeouts.idle_s
    deadline += response.held_s()
    if not 200 <= response.status < 300:
        async with TimeLimit(min(now_s() + idle_s, deadline)):
            await raise_for_status(response, format_)

    def limit() -> float:
        now = now_s()
        if now >= deadline:
            raise TimeoutError  # a provider that never pauses would not trip the timer
        return min(now + idle_s, deadline)

    return await _read_body(response, route.response_bytes_max, limit)


async def _read_body(
    response: UpstreamResponse, bytes_max: int, limit: Callable[[], float] | None = None, *, cut: bool = False
) -> bytes:
    """Returns the body. If it exceeds `bytes_max`, truncates it (`cut`) or raises upstream_protocol. `limit`
    returns when the next bytes are due, in event loop time."""
    parts: list[bytes] = []
    size = 0
    while True:
        try:
            data = await response.read_some(None if limit is None else limit())
        except TimeoutError:
            raise
        except Exception as error:  # noqa: BLE001  # re-raised as a GatewayError
            failure = before_output(read_failure(error))
            raise failure from cause_of(failure, error)
        if not data:
            return (parts[0] if len(parts) == 1 else b"".join(parts)).removeprefix(BYTE_ORDER_MARK)
        size += len(data)
        parts.append(data)
        if size > bytes_max:
            if cut:
                return b"".join(parts)[:bytes_max]
            raise too_large(bytes_max)


def cause_of(failure: GatewayError, error: BaseException) -> BaseException | None:
    """Returns what to raise `failure` from: its own cause, else `error`, but never `failure` itself."""
    return failure.__cause__ or (None if failure is error else error)


def before_output(error: GatewayError) -> GatewayError:
    """An answer that breaks off before the caller has seen any of it is not interrupted: another upstream may still
    answer."""
    return replace_error(error, kind=Kind.UPSTREAM_PROTOCOL) if error.kind is Kind.UPSTREAM_INTERRUPTED else error


def too_large(bytes_max: int) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider's answer is larger than {bytes_max} bytes.")


async def raise_for_status(response: UpstreamResponse, format_: Format) -> None:
    """Raises the error that a status other than 2xx stands for."""
    if 200 <= response.status < 300:
        return
    if 300 <= response.status < 400:
        text = "The provider answered with a redirect, which is not followed."
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, text, status=response.status)
    try:
        async with asyncio.timeout(_ERROR_BODY_S):
            body = await _read_body(response, _ERROR_BODY_BYTES_MAX, cut=True)
    except (GatewayError, TimeoutError):
        body = b""  # the status alone has to do
    raise format_.error(response.status, response.headers, body)


def safe_to_show(error: GatewayError, upstream: Upstream, tokens: AccessTokens) -> GatewayError:
    """Returns the error with keys redacted, and with our own text in place of a provider's message about the
    gateway's credentials."""
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

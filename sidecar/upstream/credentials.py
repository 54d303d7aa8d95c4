"""Authorises outgoing calls through headers, and keeps credentials out of everything that is shown.

A key is part of headers built once per snapshot. A token that has to be fetched (Entra ID, OAuth client credentials,
managed identity) is cached per worker, renewed while the old one is still valid, and fetched once however many calls
wait for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass
from typing import Any

from adapters import GatewayError, Kind, Provider
from sidecar.domain.redaction import without_secret
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Grant, Upstream
from sidecar.upstream.address import host_of
from sidecar.upstream.failures import TokenRefused, explain, printable
from sidecar.upstream.trust import Identity, Trust, context_for

log = logging.getLogger(__name__)

_REDACTED = "***"
# Headers with comma-separated names, such as anthropic-beta.
_LIST = "-beta"
# Key formats of providers, for messages in which a provider quotes a key that is not exactly ours: truncated,
# masked, or another key. The last one is a JSON Web Token, as identity services issue them, or its first part alone:
# if it had to contain a dot, a run of candidates would be read to its end from each of them.
_KEY_FORMATS = re.compile(
    r"\b(?:sk|pk|rk|xai|gsk|hf|dapi|pplx|fw|nvapi|AIza|AKIA)[-_]?[A-Za-z0-9_\-*.]{12,}|\b[Bb]earer\s+[A-Za-z0-9_\-*.=+/]{8,}"
    r"|\beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]*){0,4}"
)
# Token services answer in well under a second; a call waits at most this long for one.
_FETCH_S = 10.0
# A token is renewed this long before it expires (as in Microsoft's libraries: 5 min), or after half its lifetime if
# that is shorter.
_RENEW_BEFORE_S = 300.0
# A token that expires this soon is not used, since the call takes time to arrive; for a short-lived token, a tenth
# of its lifetime.
_MARGIN_S = 10.0
# After a failed renewal the old token stays in use, and the service is not asked again for this long.
_RETRY_S = 30.0
# Tokens of Entra and Databricks live for an hour. If an answer does not say, OAuth advises a conservative
# assumption.
_LIFETIME_S = 300.0
_ANSWER_BYTES_MAX = 64 * 1024


def headers_for(upstream: Upstream, provider: Provider) -> tuple[tuple[str, str], ...]:
    """Returns the headers that authorise a call to `upstream`, including the fixed ones of the provider and the
    route."""
    fixed = (*provider.headers, *upstream.headers)
    if upstream.headers:  # the route's value replaces the provider's default of the same name
        own = {name.lower() for name, _ in upstream.headers}
        fixed = (*(pair for pair in provider.headers if pair[0].lower() not in own), *upstream.headers)
    scheme = upstream.auth or provider.auth
    if upstream.key is None or scheme == "none":
        return fixed
    return (*fixed, _auth_header(scheme, upstream.key))


def with_callers(
    headers: tuple[tuple[str, str], ...], callers: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Merges the caller's headers that its format passes on. A caller's value replaces ours, since its body was
    written for it; lists of betas are joined."""
    ours = {name.lower(): value for name, value in headers}
    own = {name for name, _ in callers}
    joined = (
        (name, f"{ours[name]},{value}" if name.endswith(_LIST) and name in ours else value) for name, value in callers
    )
    return (*(pair for pair in headers if pair[0].lower() not in own), *joined)


def _auth_header(scheme: str, key: Secret) -> tuple[str, str]:
    if scheme == "bearer":
        return ("Authorization", f"Bearer {key.reveal()}")
    return (scheme, key.reveal())  # "x-api-key", "api-key": the scheme is the name of the header


def redact(text: str, upstream: Upstream | None, token: Secret | None = None) -> str:
    """Returns `text` without the upstream's secrets and `token`, parts of them, their base64, and whatever looks
    like a key."""
    if upstream is not None:
        for secret in (token, upstream.key, upstream.grant.client_secret if upstream.grant else None):
            if secret is not None:
                text = without_secret(text, secret)
    return _KEY_FORMATS.sub(_REDACTED, text)


@dataclass(frozen=True, slots=True)
class _Token:
    """Times are monotonic: when to fetch the next token, and until when this one is used."""

    value: Secret
    renew_s: float
    end_s: float


# Identifies whose token it is and how it is fetched: the grant, CA file, client certificate, proxy.
_Source = tuple[Grant, Trust, Identity, str | None]


def _source(upstream: Upstream) -> _Source:
    """A managed identity is requested from a link-local address, which is not reached through a proxy."""
    grant = upstream.grant
    assert grant is not None
    proxy = None if grant.form is None else upstream.proxy
    return (grant, upstream.ca_file, upstream.client_certificate, proxy)


class AccessTokens:
    """The fetched tokens of one worker. They are not part of the config: a reload keeps them."""

    def __init__(self) -> None:
        self._tokens: dict[_Source, _Token] = {}
        self._fetches: dict[_Source, asyncio.Task[_Token]] = {}

    async def header(self, upstream: Upstream) -> tuple[str, str]:
        """Returns the header that authorises a call.

        Raises GatewayError: upstream_rejected_credentials if the token service refuses ours; upstream_unavailable,
        upstream_timeout or rate_limited if it does not answer; upstream_protocol if the answer has no token.
        """
        source = _source(upstream)
        token = self._tokens.get(source)
        now_s = time.monotonic()
        if token is None or token.end_s <= now_s:
            token = await self._fetched_for(source)
        elif token.renew_s <= now_s:
            self._fetch(source)
        return _auth_header("bearer", token.value)

    async def _fetched_for(self, source: _Source) -> _Token:
        """A cancelled caller does not cancel the fetch for the others, and every waiting caller raises an instance
        of its own."""
        try:
            return await asyncio.shield(self._fetch(source))
        except GatewayError as error:
            raise GatewayError(error.kind, error.message, code=error.code, status=error.status) from error

    def current(self, upstream: Upstream) -> Secret | None:
        """The token in use, so that it can be redacted."""
        token = self._tokens.get(_source(upstream)) if upstream.grant else None
        return token.value if token is not None else None

    def forget(self, upstream: Upstream) -> None:
        """Drops a token that the provider refused; the next call fetches another."""
        self._tokens.pop(_source(upstream), None)

    def _fetch(self, source: _Source) -> asyncio.Task[_Token]:
        task = self._fetches.get(source)
        if task is None:
            task = self._fetches[source] = asyncio.create_task(_fetch(*source))
            task.add_done_callback(lambda done: self._fetched(source, done))
        return task

    def _fetched(self, source: _Source, task: asyncio.Task[_Token]) -> None:
        del self._fetches[source]
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._tokens[source] = task.result()
            return
        words = explain(error)[1] or printable(str(error))
        log.warning("cannot fetch a token from %s: %s", source[0].url.partition("?")[0], words)
        old = self._tokens.get(source)
        if old is not None:
            self._tokens[source] = _Token(old.value, time.monotonic() + _RETRY_S, old.end_s)

    async def close(self) -> None:
        """Cancels running fetches."""
        tasks = list(self._fetches.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _fetch(grant: Grant, ca_file: Trust, identity: Identity, proxy: str | None) -> _Token:
    import httpx  # imported late: only upstreams with a grant need it

    requested_at_s = time.monotonic()
    try:
        async with asyncio.timeout(_FETCH_S):
            # Loading certificates takes tens of milliseconds, so it runs in a thread.
            trust = await asyncio.to_thread(context_for, ca_file, identity)
            async with httpx.AsyncClient(verify=trust, proxy=proxy, trust_env=False, timeout=None) as client:
                status, body = await _send(client, grant)
    except TimeoutError:
        cause = TokenRefused(f"{host_of(grant.url)} did not answer within {_FETCH_S:g} s.")
        raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider's token service did not answer in time.") from cause
    except (httpx.HTTPError, OSError) as error:
        failure = TokenRefused(f"No answer from {host_of(grant.url)}.")
        failure.__cause__ = error
        raise failure.shown() from failure
    return _read(status, body, requested_at_s)


async def _send(client: Any, grant: Grant) -> tuple[int, bytes]:
    form = None if grant.form is None else dict(grant.form)
    auth = None
    if grant.client_secret is not None and form is not None:
        if grant.basic:
            auth = (grant.client_id, grant.client_secret.reveal())
        else:
            form |= {"client_id": grant.client_id, "client_secret": grant.client_secret.reveal()}
    method = "GET" if form is None else "POST"
    async with client.stream(method, grant.url, data=form, auth=auth, headers=dict(grant.headers)) as response:
        body = b""
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > _ANSWER_BYTES_MAX:
                break
        return response.status_code, body


def _read(status: int, body: bytes, requested_at_s: float) -> _Token:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    fields: dict[str, Any] = answer if isinstance(answer, dict) else {}
    if status != 200:
        raise _refused(status, fields)
    value = fields.get("access_token")
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]{1,16384}", value):
        raise GatewayError(Kind.UPSTREAM_PROTOCOL, "The provider's token service did not return a token.")
    life_s = _lifetime_s(fields)
    renew_s = requested_at_s + max(life_s - _RENEW_BEFORE_S, life_s / 2)
    return _Token(Secret(value), renew_s, requested_at_s + life_s - min(_MARGIN_S, life_s / 10))


def _lifetime_s(fields: dict[str, Any]) -> float:
    """expires_in is in seconds, as a number or text. App Service only sends expires_on, in Unix time."""
    for name, since_s in (("expires_in", 0.0), ("expires_on", time.time())):
        try:
            return max(0.0, float(fields[name]) - since_s)
        except (KeyError, TypeError, ValueError):
            continue
    return _LIFETIME_S


def _refused(status: int, fields: dict[str, Any]) -> GatewayError:
    """The service's error code (`invalid_client`) is for the log; its description may quote ids."""
    word = fields.get("error")
    code = word if isinstance(word, str) and re.fullmatch("[a-z_]{1,64}", word) else None
    if status == 429 or status >= 500:
        kind = Kind.RATE_LIMITED if status == 429 else Kind.UPSTREAM_UNAVAILABLE
        text = f"The provider's token service answered HTTP {status}."
        return GatewayError(kind, text, code=code, status=status)
    text = f"The provider's token service refused the gateway's credentials{f' ({code})' if code else ''}."
    return GatewayError(Kind.UPSTREAM_REJECTED_CREDENTIALS, text, code=code, status=status)

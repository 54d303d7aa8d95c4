"""Parses the URL of a call, and resolves the addresses of its host."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from sidecar.upstream.failures import BadRequest, Failure, NameUnknown, OutOfResources, is_out_of_resources

# Addresses are looked up again after this long: cloud providers move a name within a minute.
_ADDRESSES_S = 30.0
# A worker sees the URLs of its routes, some hundred. Beyond this, the cache is cleared.
_URLS_MAX = 4096
_HOSTS_MAX = 1024

# Characters allowed in a request line; others are percent-encoded.
_TARGET = re.compile(r"[\x21-\x7e]+")
_SAFE = "".join(map(chr, range(0x21, 0x7F)))

Address = tuple[int, Any]  # address family, argument of connect()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`host` is resolved and must match the certificate, `authority` is the Host header, `target` is path and
    query."""

    tls: bool
    host: str
    port: int
    authority: str
    target: str


_endpoints: dict[str, Endpoint] = {}


def endpoint_of(url: str) -> Endpoint:
    """Raises BadRequest."""
    found = _endpoints.get(url)
    if found is None:
        if len(_endpoints) >= _URLS_MAX:
            _endpoints.clear()
        found = _endpoints[url] = _endpoint(url)
    return found


def host_of(url: str) -> str:
    """Returns host and port of a URL, omitting a default port; "" if the URL is invalid."""
    try:
        return endpoint_of(url).authority
    except BadRequest:
        return ""


def _endpoint(url: str) -> Endpoint:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        if host is not None and not host.isascii():
            host = host.encode("idna").decode("ascii")
    except ValueError as error:
        raise BadRequest("The URL is invalid.") from error
    if parts.scheme not in ("http", "https") or not host or not _TARGET.fullmatch(host):
        raise BadRequest("The URL is not http or https, or has no host.")
    tls = parts.scheme == "https"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(target):
        target = quote(target, safe=_SAFE)
    name = f"[{host}]" if ":" in host else host
    usual = 443 if tls else 80
    authority = name if port in (None, usual) else f"{name}:{port}"
    return Endpoint(tls, host, usual if port is None else port, authority, target)


class Addresses:
    """Caches the addresses of hosts for a while. Concurrent requests share one lookup, because lookups run in a few
    threads."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def of(self, host: str, port: int) -> list[Address]:
        """Returns at least one address, alternating between families. Raises NameUnknown, OutOfResources."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        loop = asyncio.get_running_loop()
        until_s, found = self._found.get(key, (0.0, []))
        if loop.time() < until_s:
            return found
        task = self._lookups.get(key)
        if task is None:
            task = self._lookups[key] = loop.create_task(_look_up(host, port))
            task.add_done_callback(lambda done: self._keep(key, done))
        try:
            return await asyncio.shield(task)
        except Failure as failure:  # every waiting call raises an instance of its own
            raise type(failure)(failure.reason) from failure.__cause__

    def _keep(self, key: tuple[str, int], task: asyncio.Task[list[Address]]) -> None:
        self._lookups.pop(key, None)
        if task.cancelled() or task.exception() is not None:
            return
        if len(self._found) >= _HOSTS_MAX:
            self._found.clear()
        self._found[key] = (asyncio.get_running_loop().time() + _ADDRESSES_S, task.result())

    def keeps(self, host: str, port: int) -> bool:
        """Whether `of` would answer from the cache."""
        until_s, _ = self._found.get((host, port), (0.0, []))
        return asyncio.get_running_loop().time() < until_s

    def forget(self, host: str, port: int) -> None:
        """Drops a host's addresses, none of which answered: the name may have moved."""
        self._found.pop((host, port), None)

    async def close(self) -> None:
        tasks = list(self._lookups.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _literal(host: str, port: int) -> Address | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return (family, (host, port))
    return None


async def _look_up(host: str, port: int) -> list[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        if is_out_of_resources(error):
            raise OutOfResources(f"{host} could not be looked up.") from error
        raise NameUnknown(f"The name {host} has no address.") from error
    addresses = list(dict.fromkeys((int(family), where) for family, _, _, _, where in found))
    if not addresses:
        raise NameUnknown(f"The name {host} has no address.")
    return _in_turns(addresses)


def _in_turns(addresses: list[Address]) -> list[Address]:
    """RFC 8305 section 4: if one family is broken here, it costs one attempt, not all of them."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    mixed: list[Address] = []
    while first or others:
        mixed += first[:1] + others[:1]
        first, others = first[1:], others[1:]
    return mixed

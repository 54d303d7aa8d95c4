"""`proxy:` of a provider: a URL, including user and password if needed, or the proxies of the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sidecar.config import fields
from sidecar.config.problems import Report
from sidecar.config.scope import Scope
from sidecar.config.yaml_tree import MappingEntry, Node

ENVIRONMENT = "environment"
_SEPARATORS = re.compile(r"[,\s]+")


@dataclass(frozen=True, slots=True)
class EnvironmentProxies:
    """HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY as of the start; lower-case names take precedence."""

    https: str | None = field(repr=False)
    http: str | None = field(repr=False)
    no_proxy: tuple[str, ...]

    def of(self, base_url: str) -> str | None:
        """Returns the proxy for a provider. This machine itself is never behind a proxy."""
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if fields.loopback(parts) or any(_excepts(entry, host, port) for entry in self.no_proxy):
            return None
        return self.https if parts.scheme == "https" else self.http


Proxy = str | EnvironmentProxies


def proxy(entry: MappingEntry, path: str, scope: Scope) -> Proxy | None:
    node, managed = entry.value, scope.sources.read_secret is not None
    if node.kind == "scalar" and node.text == ENVIRONMENT:
        if managed:
            hint = "a route managed through the API cannot read the server's environment"
            scope.report.error(node.line, path, "is only allowed in the config file", hint)
            return None
        return _of_environment(scope.sources.env, node, path, scope.report)
    found = fields.url(node, path, scope.report, user=not managed)
    if found is None:
        return None
    if found.password and not node.variable:
        scope.report.warn(node.line, path, "contains the proxy's password in plain text", "use $NAME in the URL")
    return node.text.rstrip("/")


def _of_environment(env: Mapping[str, str], node: Node, path: str, report: Report) -> EnvironmentProxies | None:
    names = {name: _first(env, name) for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")}
    for name, value in names.items():
        if value and fields.url_problem(value, user=True):
            hint = (
                "http:// or https://, with the user's and password's special characters percent-encoded; SOCKS is "
                "not supported"
            )
            report.error(node.line, path, f"environment variable {name} is not the URL of an HTTP proxy", hint)
            return None
    https, http, every = names.values()
    excepted = tuple(filter(None, _SEPARATORS.split(_first(env, "NO_PROXY"))))
    return EnvironmentProxies(https or every or None, http or every or None, excepted)


def _first(env: Mapping[str, str], name: str) -> str:
    value = env.get(name.lower()) or env.get(name) or ""
    return value if name == "NO_PROXY" or not value or "://" in value else f"http://{value}"


def _excepts(entry: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY applies: `*`, a domain including its subdomains (with or without a leading
    dot), or an address, each with an optional port; or a network of addresses."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, own_port = entry.rpartition(":")
    if colon and own_port.isdigit():
        if int(own_port) != port:
            return False
        entry = name.strip("[]")
    domain = entry.lower().removeprefix("*").removeprefix(".").rstrip(".")
    host = host.lower().rstrip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))

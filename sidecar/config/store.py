"""`store:` -> the Redis or Valkey server in which several gateways count limits and money together."""

from __future__ import annotations

import re
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sidecar.config import fields
from sidecar.config.archive import ARCHIVE
from sidecar.config.encryption_key import ENCRYPTION_KEY
from sidecar.config.kinds import BOOLEAN, DURATION, TEXT, Kind
from sidecar.config.problems import Report
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field, Section
from sidecar.config.server_fields import CA, PASSWORD
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.snapshot import RedisServer, SharedStore

_PORT = 6379
_SENTINEL_PORT = 26379
_SCHEMES = ("redis", "rediss", "unix")
_DB_MAX = 9_999
_ADDRESSES_MAX = 16
_INSTALLATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HINT = "rediss://host:6379, redis://host:6379/0 or unix:///path/of/socket"
# Calls must not wait longer for a store than for a provider; with less, a healthy store would time out.
_TIMEOUT_S = (0.005, 5.0)

_Url = tuple[SplitResult, int]


def _url(entry: MappingEntry, path: str, scope: Scope) -> _Url | None:
    """Returns the parts of the URL, and the database."""
    written = fields.text(entry.value, path, scope.report)
    if written is None:
        return None
    problem = partial(scope.report.error, entry.line, path)
    try:
        parts = urlsplit(written)
    except ValueError:
        problem("is not a URL", _HINT)
        return None
    if parts.scheme not in _SCHEMES or not (parts.path if parts.scheme == "unix" else parts.netloc):
        problem("is not the URL of a Redis or Valkey", _HINT)
    elif "@" in parts.netloc:
        problem("contains a password or a user", "use the keys `username` and `password: $NAME`")
    elif parts.query or parts.fragment:
        problem("contains more than an address and a database", _HINT)
    else:
        number = "" if parts.scheme == "unix" else parts.path.strip("/")
        if not number or (number.isascii() and number.isdecimal() and len(number) < 10 and int(number) <= _DB_MAX):
            return parts, int(number or 0)
        problem("does not end in a database number", "such as redis://host:6379/0")
    return None


def _installation(entry: MappingEntry, path: str, scope: Scope) -> str | None:
    written = fields.text(entry.value, path, scope.report)
    if written is None or _INSTALLATION.fullmatch(written):
        return written
    scope.report.error(entry.line, path, "is no name", "letters, digits, `_`, `.` and `-`, 64 at most")
    return None


def _server(url: _Url, **rest: Any) -> RedisServer:
    parts, db = url
    if parts.scheme == "unix":
        addresses: tuple[tuple[str, int], ...] = ((parts.path, 0),)
    else:
        port = _SENTINEL_PORT if rest.get("sentinel") else _PORT
        addresses = tuple(_address(each, port) for each in parts.netloc.split(","))
    return RedisServer(addresses, db, parts.scheme == "rediss", **rest)


def _address(text: str, port: int) -> tuple[str, int]:
    """Returns a host of "" or a port of 0 if the address is invalid."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?", text)
    if found is None:
        return "", 0
    number = int(found[3] or port)
    return found[1] or found[2], number if number < 65_536 else 0


def _check(server: RedisServer, entries: Entries, path: str, report: Report) -> None:
    line = entries["url"].line
    if entries["url"].value.text.startswith("unix:"):
        if server.cluster or server.sentinel:
            report.error(
                line, f"{path}.url", "is a unix socket, which is a single server", "remove `cluster` and `sentinel`"
            )
        return
    if len(server.addresses) > _ADDRESSES_MAX or not all(host and port for host, port in server.addresses):
        report.error(line, f"{path}.url", "contains an invalid address", _HINT)
    elif len(server.addresses) > 1 and not (server.cluster or server.sentinel):
        report.error(
            line, f"{path}.url", "names several servers", "set `cluster: true`, or `sentinel` to the master's name"
        )
    if server.cluster and server.db:
        report.error(line, f"{path}.url", "a cluster has only one database", "remove the number")
    if server.cluster and server.sentinel:
        report.error(line, path, "cannot be both a cluster and watched by sentinels")
    if server.ca is not None and not server.tls:
        report.error(line, f"{path}.ca", "is for TLS", "begin the URL with rediss://")
    if server.username and server.password is None:
        report.error(line, f"{path}.password", "is missing", "a username requires a password")


def _seconds(entry: MappingEntry, path: str, scope: Scope) -> float | None:
    seconds = fields.duration(entry.value, path, scope.report)
    if seconds is None or _TIMEOUT_S[0] <= seconds <= _TIMEOUT_S[1]:
        return seconds
    scope.report.error(entry.line, path, "must be 5ms to 5s")
    return None


REDIS = Section(
    "redis",
    _server,
    (
        Field(
            "url",
            Kind({"type": "string"}, "URL", _url, "`redis://` or, with TLS, `rediss://`, and the database behind it."),
            "The address: `rediss://host:6379/0` or `unix:///path`. Several, separated by commas, are nodes of a "
            "cluster, or sentinels.",
            required=True,
        ),
        CA,
        Field("username", TEXT, "A user of the server's ACL.", default="the default user"),
        PASSWORD,
        Field("cluster", BOOLEAN, "Whether the server is a cluster; all keys are in one slot.", default="false"),
        Field("sentinel", TEXT, "The name of the master, if the URL lists sentinels.", default="none"),
    ),
    "A Redis or Valkey server of version 6.2 or later.",
    _check,
    shared=True,
)
STORE = Section(
    "store",
    SharedStore,
    (
        Field("redis", REDIS, "The server.", required=True),
        Field(
            "timeout",
            Kind(DURATION.schema, "5ms to 5s", _seconds, DURATION.written, DURATION.text, "_s"),
            "The longest time that a call waits for the store; then `when_unavailable` decides.",
        ),
        Field(
            "installation",
            Kind({"type": "string", "pattern": f"^{_INSTALLATION.pattern}$"}, "text", _installation),
            "Gateways with the same name share all limits and budgets, and the routes that are managed through the API. The "
            "name is part of every key in the store.",
        ),
        Field(
            "encryption_key",
            ENCRYPTION_KEY,
            "The key that encrypts managed routes, limits and users in the store: $NAME, ${NAME} or file:PATH, at least 32 "
            "random characters, the same on all gateways.",
            "Without it, routes with API keys cannot be created through the API, and users are not shared "
            "([More than one machine](../concepts/scale.md#routes-and-limits-on-all-gateways)).",
            default="none",
        ),
        Field(
            "archive",
            ARCHIVE,
            "A Postgres with what all gateways spent, besides each gateway's own copy.",
            "[Below](#archive).",
            default="none",
        ),
    ),
    "Where several gateways count limits and spend together.",
    shared=True,
)

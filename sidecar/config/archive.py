"""`store.archive:` -> the Postgres with the spend of all gateways."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from sidecar.config import fields
from sidecar.config.kinds import TEXT, Kind, long_duration
from sidecar.config.problems import Report
from sidecar.config.scope import Scope
from sidecar.config.section import Entries, Field, Section
from sidecar.config.server_fields import CA, PASSWORD
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.snapshot import PostgresServer

_PORT = 5432
_SCHEMES = ("postgres", "postgresql")
_HINT = "postgres://user@host:5432/database"
# A settlement may arrive again for a day, and has to be recognised until then.
_DAY_S = 86_400
_KEPT_S = (2 * _DAY_S, 3_660 * _DAY_S)
_TLS = {"verify-full": True, "disable": False}


class _Url(NamedTuple):
    host: str
    port: int
    database: str
    username: str
    tls: bool


def _url(entry: MappingEntry, path: str, scope: Scope) -> _Url | None:
    written = fields.text(entry.value, path, scope.report)
    if written is None:
        return None
    problem = partial(scope.report.error, entry.line, path)
    try:
        parts = urlsplit(written)
        host, port = unquote(parts.hostname or ""), parts.port
        options = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        problem("is not a URL", _HINT)
        return None
    folder = options.pop("host", [""])[-1]
    mode = options.pop("sslmode", [""])[-1]
    database = unquote(parts.path.removeprefix("/"))
    if parts.scheme not in _SCHEMES or not (host or folder):
        problem("is not the URL of a Postgres", _HINT)
    elif parts.password is not None:
        problem("has a password in it", "`password: $NAME` has a key of its own")
    elif not database or "/" in database:
        problem("names no database", _HINT)
    elif options or parts.fragment:
        problem("has options besides `sslmode` and `host`", _HINT)
    elif mode not in ("", *_TLS):
        problem(f"has sslmode={mode}", "`verify-full` (the default for another machine) or `disable`")
    elif folder and not folder.startswith("/"):
        problem("has a `host` that is no folder of a unix socket", "postgres:///database?host=/run/postgresql")
    else:
        near = bool(folder) or host in ("localhost", "::1") or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host) is not None
        return _Url(folder or host, port or _PORT, database, unquote(parts.username or ""), _TLS.get(mode, not near))
    return None


def _server(url: _Url, username: str = "", **rest: Any) -> PostgresServer:
    return PostgresServer(url.host, url.port, url.database, username or url.username, tls=url.tls, **rest)


def _check(server: PostgresServer, entries: Entries, path: str, report: Report) -> None:
    if server.ca is not None and not server.tls:
        report.error(entries["ca"].line, f"{path}.ca", "is for TLS", "write ?sslmode=verify-full behind the URL")


POSTGRES = Section(
    "archive",
    _server,
    (
        Field(
            "url",
            Kind({"type": "string"}, "URL", _url, f"As in `{_HINT}`, and `?sslmode=disable` behind it for no TLS."),
            "The server and the database. TLS verifies the server, and is the default for another machine.",
            required=True,
        ),
        CA,
        Field("username", TEXT, "The user, if the URL names none.", default="the gateway's own"),
        PASSWORD,
        Field(
            "keep_rows",
            long_duration(*_KEPT_S, "2d to 3660d", 'Seconds, or text such as "62d".'),
            "How long the row of a call is kept. Sums are kept forever.",
            attribute="rows_kept_s",
            default="62d",
        ),
    ),
    "The Postgres that has what all gateways of the installation spent.",
    _check,
    shared=True,
)


def _archive(entry: MappingEntry, path: str, scope: Scope) -> PostgresServer | None:
    if entry.value.kind == "mapping":
        return POSTGRES.read(entry.value, path, scope)
    url = _url(entry, path, scope)
    return None if url is None else _server(url)


ARCHIVE = Kind(
    {"anyOf": [{"type": "string"}, POSTGRES.shape()]},
    "URL or section",
    _archive,
    "The URL alone, or a section.",
    text=lambda _: "",
)

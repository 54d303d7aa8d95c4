"""`consumers:` -> who may call which routes, and how much."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase, translate
from typing import Final

from sidecar.config import fields
from sidecar.config.kinds import BOOLEAN, Kind, list_of
from sidecar.config.limits import OF_CONSUMER
from sidecar.config.names import CONSUMER_NAME, Names, name_field, name_of
from sidecar.config.problems import Report, near_miss, shown, shown_path
from sidecar.config.scope import Scope
from sidecar.config.section import Field, Section
from sidecar.config.yaml_tree import MappingEntry, Node
from sidecar.domain.snapshot import Consumer
from sidecar.domain.wildcard import STAR, is_wildcard

_ROLES = ("admin",)
# The consumer of calls on the local gRPC port, unless another one claims them.
_LOCAL: Final = "local"
# Each has its own metrics and buckets. A larger file was generated from a list of people, for which `users` takes
# lists.
CONSUMERS_MAX = 1_000
_ENTRIES_MAX = 10_000
# A consumer's first call matches its globs against all routes, while names are looked up: 64 complex ones on 6,001
# routes take 50 ms.
_GLOBS_MAX = 64


def _read_names(entry: MappingEntry, path: str, scope: Scope) -> tuple[str, ...] | None:
    """Returns names and globs; None if nothing valid is there."""
    if len(entry.value.items) > _ENTRIES_MAX:
        scope.report.error(entry.line, path, f"more than {_ENTRIES_MAX:,} entries")
        return None
    found = fields.texts(entry.value, path, scope.report)
    if found is not None and sum(map(is_glob, found)) > _GLOBS_MAX:
        scope.report.error(entry.line, path, f"more than {_GLOBS_MAX} globs", "plain names may be more")
    return found


def _read_roles(entry: MappingEntry, path: str, scope: Scope) -> bool:
    """Whether `admin` is among the roles."""
    roles = fields.texts(entry.value, path, scope.report) or ()
    for index, role in enumerate(roles):
        if role not in _ROLES:
            line = entry.value.items[index].line
            scope.report.error(line, f"{path}[{index}]", f"unknown role {shown(role)}", near_miss(role, _ROLES))
    return "admin" in roles


_NAMES = list_of({"type": "string"}, _ENTRIES_MAX, _read_names)
CONSUMER = Section(
    "consumer",
    Consumer,
    (
        name_field(
            CONSUMER_NAME,
            "The name in metrics, logs and usage: 1 to 128 ASCII letters, digits, `_`, `-`, `.`, `@` and `+`.",
        ),
        Field(
            "users",
            _NAMES,
            "Users of the gateway: names or globs (`*`, `?`, `[a-z]`; case matters).",
            never_empty=True,
        ),
        Field(
            "local",
            BOOLEAN,
            "Calls on the local gRPC port and socket. At most one consumer can have them.",
            'This has nothing to do with a user whose name is "local".',
        ),
        Field(
            "roles",
            Kind({"type": "array", "items": {"enum": list(_ROLES)}}, "list", _read_roles, text=lambda admin: ""),
            "`admin`: may manage routes and limits, and sees all consumers on the home page.",
            attribute="admin",
        ),
        Field(
            "allow",
            _NAMES,
            "Globs of the routes it may call.",
            f"A glob that matches no route causes a warning. At most {_GLOBS_MAX} with `*`, `?` or `[`, and "
            f"{_ENTRIES_MAX:,} names.",
            default="every route",
            never_empty=True,
        ),
        Field("deny", _NAMES, "Globs of the routes it may not call; they override `allow`.", never_empty=True),
        *OF_CONSUMER.fields,
    ),
)


def consumers(node: Node, routes: Collection[str], aliases: Mapping[str, str], scope: Scope) -> tuple[Consumer, ...]:
    """Returns the consumers in the file's order. `routes`: all names, to warn of globs without a match; `aliases`:
    alias -> route."""
    report = scope.report
    if fields.empty(node) or (node.kind == "list" and not node.items):
        hint = "without `consumers:`, any user may call any route"
        report.error(node.line, "consumers", "is empty, so nobody could call anything", hint)
        return ()
    items = fields.expect_list(node, "consumers", report) or ()
    if len(items) > CONSUMERS_MAX:
        report.error(node.line, "consumers", f"more than {CONSUMERS_MAX:,} consumers")
        return ()
    seen: Names = {}
    claims = _Claims(report)
    check = _RouteGlobs(routes, aliases, report)
    read = (_consumer(item, f"consumers[{index}]", seen, claims, check, scope) for index, item in enumerate(items))
    return tuple(each for each in read if each is not None)


def _consumer(node: Node, path: str, seen: Names, claims: _Claims, check: _RouteGlobs, scope: Scope) -> Consumer | None:
    report = scope.report
    entries = CONSUMER.entries(node, path, scope)
    if entries is None:
        return None
    name = name_of(entries, path, CONSUMER_NAME, seen, scope)
    values = CONSUMER.values(entries, path, scope)
    for key in ("allow", "deny"):
        if key in entries:
            check.warn_of(entries[key].value, f"{path}.{key}")
    if name is None:
        return None
    made = Consumer(name, **values, allow_written="allow" in entries)
    if not made.users and not made.local and "users" not in entries and "local" not in entries:
        report.error(
            node.line, path, f'no caller can match "{name}"', "set `users:` of the front proxy, or `local: true`"
        )
    elif not made.users and not made.local:
        report.error(node.line, path, f'no caller can match "{name}"', "`users:` is empty and `local:` is not true")
    if name == _LOCAL and not made.local:
        words = '"local" is reserved for callers on the local gRPC port'
        report.error(node.line, f"{path}.name", words, "add `local: true`")
    claims.make(node, name, made.users, made.local, path)
    return made


class _Claims:
    """Which users each consumer claims, in the file's order: a call belongs to the first one that matches."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._users: dict[str, str] = {}  # user or glob -> a description of the first consumer that names it
        self._globs: list[str] = []
        self._local: str | None = None

    def make(self, node: Node, name: str, users: tuple[str, ...], local: bool, path: str) -> None:
        ours = f'"{name}" in line {node.line}'
        if local and self._local is not None:
            self._report.error(node.line, f"{path}.local", "another consumer has the local gRPC port", self._local)
        taken = {user: before for user in users if (before := self._before(user)) is not None}
        if users and len(taken) == len(set(users)) and not local:
            words = f'no caller can match "{name}": {self._words(taken)}'
            self._report.error(node.line, path, words, "a user belongs to the first consumer that names it")
        elif taken:
            line = node.entries["users"].line
            self._report.warn(
                line, f"{path}.users", self._words(taken), "a user belongs to the first consumer that names it"
            )
        if local and self._local is None:
            self._local = ours
        for user in users:
            if user not in self._users:
                self._users[user] = ours
                if is_glob(user):
                    self._globs.append(user)

    def _before(self, user: str) -> str | None:
        if (exact := self._users.get(user)) is not None:
            return exact
        for glob in self._globs:
            if glob == "*" or (not is_glob(user) and fnmatchcase(user, glob)):
                return self._users[glob]
        return None

    def _words(self, taken: Mapping[str, str]) -> str:
        return ", ".join(f"{_user(user)} is {before}" for user, before in list(taken.items())[:3])


class _RouteGlobs:
    """Warns of entries in `allow` and `deny` that match no route: typos that allow or deny nothing."""

    def __init__(self, routes: Collection[str], aliases: Mapping[str, str], report: Report) -> None:
        self._names = dict.fromkeys(routes)
        self._starts = tuple(name[: -len(STAR)] for name in routes if is_wildcard(name))
        self._aliases = aliases
        self._report = report
        self._known: dict[str, bool] = {}

    def warn_of(self, node: Node, path: str) -> None:
        for index, item in enumerate(node.items):
            if item.kind == "scalar" and item.text in self._aliases and item.text not in self._names:
                words = f'{_user(item.text)} is an alias of route "{self._aliases[item.text]}"'
                self._report.error(item.line, f"{path}[{index}]", words, "name the route, which covers all its names")
            elif item.kind == "scalar" and item.text and not self._matches(item.text):
                hint = near_miss(item.text, self._names) if not is_glob(item.text) else ""
                self._report.warn(item.line, f"{path}[{index}]", f"{_user(item.text)} matches no route", hint)

    def _matches(self, glob: str) -> bool:
        if not is_glob(glob):
            return glob in self._names or glob.startswith(self._starts)
        if glob not in self._known:
            matches = re.compile(translate(glob)).match
            start = re.split(r"[*?\[]", glob, maxsplit=1)[0]  # may match some names of a wildcard route
            own = any(start.startswith(each) or each.startswith(start) for each in self._starts)
            self._known[glob] = own or any(matches(name) for name in self._names)
        return self._known[glob]


def is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def _user(text: str) -> str:
    """Makes a user's name or glob safe to show: a key may have been pasted there."""
    harmless = shown_path(re.sub(r"[*?@\[\]!]", "-", text)).startswith('"')
    return f'"{text}"' if harmless and len(text) <= 128 and text.isprintable() else shown(text)

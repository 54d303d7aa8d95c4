"""`consumers:` -> who calls, what they may call and how much."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase, translate
from functools import partial
from typing import Final

from sidecar.config import fields
from sidecar.config.limits import OF_CONSUMER, budgets, limits
from sidecar.config.problems import Report, near_miss, shown, shown_path
from sidecar.config.yaml_tree import Entry, Node
from sidecar.domain.snapshot import Consumer

CONSUMER_KEYS = ("name", "users", "local", "roles", "allow", "deny", "limits", "budgets")
ROLES = ("admin",)
# As routes have it: both are metric labels.
NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
# What the local gRPC port and socket are called where no consumer claims them.
_LOCAL: Final = "local"
# Each has its own metrics and buckets; a file with more was generated from a list of people, and `users` takes lists.
CONSUMERS_MAX = 1_000
ENTRIES_MAX = 10_000
# Globs are tried on every route when a consumer first calls, names are looked up: 64 nasty ones on 6,001 routes take 50 ms.
GLOBS_MAX = 64
# What would open a door if it counted as absent where a template left it empty.
_NEVER_EMPTY = ("users", "allow", "deny", "limits", "budgets")


def consumers(node: Node, routes: Sequence[str], report: Report) -> tuple[Consumer, ...]:
    """In the file's order. `routes`: every name there is, for globs that match none."""
    if fields.empty(node) or (node.kind == "list" and not node.items):
        hint = "leave `consumers:` out and every user may call every route"
        report.error(node.line, "consumers", "there are none: nobody could call anything", hint)
        return ()
    if node.kind != "list":
        report.error(node.line, "consumers", f"expected a list, found {fields.kind_of(node)}")
        return ()
    if len(node.items) > CONSUMERS_MAX:
        report.error(node.line, "consumers", f"more than {CONSUMERS_MAX:,} consumers")
        return ()
    found: list[Consumer] = []
    seen: dict[str, int] = {}
    claims = _Claims(report)
    check = _RouteGlobs(routes, report)
    for index, item in enumerate(node.items):
        made = _consumer(item, f"consumers[{index}]", seen, claims, check, report)
        if made is not None:
            found.append(made)
    return tuple(found)


def _consumer(
    node: Node, path: str, seen: dict[str, int], claims: _Claims, check: _RouteGlobs, report: Report
) -> Consumer | None:
    entries = fields.mapping(node, path, report, CONSUMER_KEYS)
    if entries is None:
        return None
    fields.never_empty(node, path, report, _NEVER_EMPTY)
    name = _name(node, entries, path, seen, report)
    local = "local" in entries and bool(fields.boolean(entries["local"].value, f"{path}.local", report))
    listed = partial(_listed, entries=entries, path=path, report=report)
    users, allow, deny = listed("users") or (), listed("allow"), listed("deny") or ()
    for key in ("allow", "deny"):
        if key in entries:
            check.warn_of(entries[key].value, f"{path}.{key}")
    roles = _roles(entries.get("roles"), f"{path}.roles", report)
    many, money = limits(entries, path, OF_CONSUMER, report), budgets(entries, path, OF_CONSUMER, report)
    if name is None:
        return None
    if not users and not local and "users" not in entries and "local" not in entries:
        report.error(node.line, path, f'nobody can be "{name}"', "`users:` of the front proxy, or `local: true`")
    elif not users and not local:
        report.error(node.line, path, f'nobody can be "{name}"', "`users:` is empty and `local:` is not true")
    if name == _LOCAL and not local:
        report.error(
            node.line, f"{path}.name", '"local" is what the local gRPC port and socket are called', "add `local: true`"
        )
    claims.make(node, name, users, local, path)
    allowed = ("*",) if allow is None else allow
    return Consumer(name, users, local, "admin" in roles, allowed, deny, many, money, allow_written="allow" in entries)


def _name(node: Node, entries: Mapping[str, Entry], path: str, seen: dict[str, int], report: Report) -> str | None:
    if "name" not in entries:
        report.error(node.line, f"{path}.name", "is missing")
        return None
    value = entries["name"].value
    name = fields.text(value, f"{path}.name", report)
    if name is None:
        return None
    if not NAME.fullmatch(name):
        hint = "1 to 128 letters, digits, _, - and . are allowed"
        report.error(value.line, f"{path}.name", f"{shown(name)} is not a legal name", hint)
        return None
    if name in seen:
        report.error(value.line, f"{path}.name", f'"{name}" is taken', f"first in line {seen[name]}")
        return None
    seen[name] = value.line
    return name


def _listed(key: str, *, entries: Mapping[str, Entry], path: str, report: Report) -> tuple[str, ...] | None:
    """Names and globs; None where there is no such key, or nothing legal behind it."""
    entry = entries.get(key)
    if entry is None:
        return None
    if len(entry.value.items) > ENTRIES_MAX:
        report.error(entry.line, f"{path}.{key}", f"more than {ENTRIES_MAX:,} entries")
        return None
    found = fields.texts(entry.value, f"{path}.{key}", report)
    if found is not None and sum(map(is_glob, found)) > GLOBS_MAX:
        report.error(entry.line, f"{path}.{key}", f"more than {GLOBS_MAX} globs", "whole names may be more")
    return found


def _roles(entry: Entry | None, path: str, report: Report) -> tuple[str, ...]:
    if entry is None:
        return ()
    roles = fields.texts(entry.value, path, report) or ()
    for index, role in enumerate(roles):
        if role not in ROLES:
            line = entry.value.items[index].line
            report.error(line, f"{path}[{index}]", f"unknown role {shown(role)}", near_miss(role, ROLES))
    return roles


class _Claims:
    """Who was claimed by which consumer, in the file's order: the first that matches a call is its consumer."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._users: dict[str, str] = {}  # user or glob -> words for the first consumer that names it
        self._globs: list[str] = []
        self._local: str | None = None

    def make(self, node: Node, name: str, users: tuple[str, ...], local: bool, path: str) -> None:
        ours = f'"{name}" in line {node.line}'
        if local and self._local is not None:
            self._report.error(
                node.line, f"{path}.local", "the local gRPC port and socket have their consumer", self._local
            )
        taken = {user: before for user in users if (before := self._before(user)) is not None}
        if users and len(taken) == len(set(users)) and not local:
            words = f'nobody can be "{name}": {self._words(taken)}'
            self._report.error(node.line, path, words, "the first consumer that names a user has it")
        elif taken:
            line = node.entries["users"].line
            self._report.warn(line, f"{path}.users", self._words(taken), "the first consumer that names a user has it")
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
    """Finds entries of `allow` and `deny` that match no route: a typing error that opens or closes nothing."""

    def __init__(self, routes: Iterable[str], report: Report) -> None:
        self._names = dict.fromkeys(routes)
        self._report = report
        self._known: dict[str, bool] = {}

    def warn_of(self, node: Node, path: str) -> None:
        for index, item in enumerate(node.items):
            if item.kind == "scalar" and item.text and not self._matches(item.text):
                hint = near_miss(item.text, self._names) if not is_glob(item.text) else ""
                self._report.warn(item.line, f"{path}[{index}]", f"{_user(item.text)} matches no route", hint)

    def _matches(self, glob: str) -> bool:
        if not is_glob(glob):
            return glob in self._names
        if glob not in self._known:
            matches = re.compile(translate(glob)).match
            self._known[glob] = any(matches(name) for name in self._names)
        return self._known[glob]


def is_glob(text: str) -> bool:
    return any(character in text for character in "*?[")


def _user(text: str) -> str:
    """Fit to be shown: people choose users' names and globs, but a key may have slipped in."""
    harmless = shown_path(re.sub(r"[*?@\[\]!]", "-", text)).startswith('"')
    return f'"{text}"' if harmless and len(text) <= 128 and text.isprintable() else shown(text)

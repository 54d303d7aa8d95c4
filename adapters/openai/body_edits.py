"""Edits of top-level request members that a provider's row or the route requires, for bodies that pass through and
encoded ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from adapters.contract import Target
from adapters.drop_in_bodies import without_member
from adapters.errors import GatewayError, Kind
from adapters.fit import Fit
from adapters.json_object import OBJECTS
from adapters.members import Member
from adapters.refusals import unsupported
from adapters.urls import names_model

_STREAM_OPTIONS_SINCE = "2024-09-01"


def apply_row(body: dict[str, Any], target: Target) -> dict[str, Any]:
    """Applies the route's `drop_params` and the provider's quirks to top-level members."""
    provider = target.provider
    for name in target.options.get("drop_params", ()):
        body.pop(name, None)  # members that the gateway itself has added
    for name in provider.forbidden:
        if body.get(name, b"null") != b"null":
            raise unsupported(provider.name, name, drop_as=name)
    if provider.takes is not None:
        for name in [name for name in body if name not in provider.takes]:
            if body.pop(name) not in (None, b"null"):
                raise unsupported(provider.name, name, drop_as=name)
    for old, new in provider.renamed.items():
        if old in body and new in body:
            text = f"Send either '{old}' or '{new}': provider '{provider.name}' only supports one of them."
            raise GatewayError(Kind.INVALID_REQUEST, text, param=old)
    if names_model(target):
        body.pop("model", None)
    if provider.renamed:
        return {provider.renamed.get(name, name): value for name, value in body.items()}
    return body


def understands_usage(target: Target) -> bool:
    """Whether stream_options may be sent. Azure's versions before this one refuse it."""
    version: str = target.options.get("query", {}).get("api-version", "")
    return target.provider.include_usage and not (version[:1].isdigit() and version < _STREAM_OPTIONS_SINCE)


def has_quirks(target: Target) -> bool:
    """Whether `apply_row` can change a body at all."""
    provider = target.provider
    return bool(provider.forbidden or provider.renamed or provider.takes is not None or names_model(target))


def left_out_of(
    members: dict[str, bytes],
    echoes: tuple[str, ...],
    nested: Iterable[str],
    table: Mapping[str, Member],
    target: Target,
) -> tuple[str, ...]:
    """`echoes` have been removed already, `nested` are present."""
    fit = Fit(target)
    fit.leave_out_echoes(echoes)
    for name in sorted(fit.drop):
        if without_member(members, name):
            fit.drops(name)
    for name in sorted(nested):
        if without_member(members, name):
            fit.leave_out(name)
    for name in [name for name in members if name in target.provider.leaves]:
        row = table.get(name)
        if row is None or (row.asks(msgspec.json.decode(members[name])) and not _chooses_among_none(name, members)):
            continue  # left for the provider to refuse, in its own words
        if members.pop(name) != b"null":
            fit.leave_out(name)
    return fit.left_out()


def _chooses_among_none(name: str, members: Mapping[str, bytes]) -> bool:
    """A tool choice without tools has no effect."""
    if members.get("tools", b"[]") not in (b"[]", b"null"):
        return False
    return name == "parallel_tool_calls" or (name == "tool_choice" and members[name] in (b'"auto"', b'"none"'))


def with_usage(options: bytes | None) -> bytes:
    """stream_options with include_usage set; other members keep their bytes."""
    if options is None or options == b"null":
        return b'{"include_usage":true}'
    members = {**OBJECTS.decode(options), "include_usage": msgspec.Raw(b"true")}
    return msgspec.json.encode(members)


def forget_usage(members: dict[str, bytes]) -> None:
    """Removes include_usage: these providers always send usage, and Mistral and Databricks refuse the option."""
    options = members.pop("stream_options")
    if options == b"null":
        return
    kept = {name: raw for name, raw in OBJECTS.decode(options).items() if name != "include_usage"}
    if kept:
        members["stream_options"] = msgspec.json.encode(kept)

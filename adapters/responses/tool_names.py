"""Names of tools, as other formats write them and as the caller knows them.

A namespace groups functions. Other formats have none, so functions are sent as `namespace__name`. A custom tool
takes free text; if the upstream has no such tools, it is sent as a function with one string. Answers are translated
back: a client would not recognise a call under another name, or without its namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from adapters.json_object import MALFORMED, Obj, of_request
from adapters.tool_names import has_long_names, short_name

_SEPARATOR = "__"
# The argument of the function that stands for a custom tool.
INPUT = "input"


def flat_name(namespace: str, name: str) -> str:
    """Always the same name for the same tool, and never too long."""
    return short_name(f"{namespace}{_SEPARATOR}{name}" if namespace else name)


@dataclass(frozen=True, slots=True)
class ToolNames:
    """What answers need to know about a request's tools."""

    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)  # flat name -> namespace or "", name
    customs: frozenset[str] = frozenset()

    def called(self, name: str) -> dict[str, str]:
        """The members of a call that identify the tool."""
        namespace, own = self.namespaces.get(name, ("", name))
        return {"name": own, "namespace": namespace} if namespace else {"name": own}


def tool_names(tools: bytes | None) -> ToolNames:
    """Builds it from the request's `tools`, which have been validated."""
    if tools is None or not (b"namespace" in tools or b"custom" in tools or has_long_names(tools)):
        return ToolNames()
    namespaces: dict[str, tuple[str, str]] = {}
    customs = set()
    for kind, tool in _entries(tools):
        name = tool.string("name") or ""
        if kind == "namespace":
            for inner in tool.objects("tools"):
                own = inner.string("name") or ""
                namespaces[flat_name(name, own)] = (name, own)
            continue
        flat = flat_name("", name)
        if flat != name:
            namespaces[flat] = ("", name)
        if kind == "custom":
            customs.add(flat)
    return ToolNames(namespaces, frozenset(customs))


def _entries(tools: bytes) -> Iterator[tuple[str, Obj]]:
    obj = Obj(b"{}", "", of_request)
    obj.members = {"tools": msgspec.Raw(tools)}
    for tool in obj.objects("tools"):
        yield tool.string("type") or "", tool


def unwrapped(arguments: str) -> str:
    """The text that a model passed to the function for a custom tool; otherwise the arguments themselves."""
    try:
        found = msgspec.json.decode(arguments)
    except MALFORMED:
        return arguments
    if isinstance(found, dict) and isinstance(found.get(INPUT), str):
        return str(found[INPUT])
    return found if isinstance(found, str) else arguments


def wrapped(text: str) -> str:
    """The arguments that contain it."""
    return msgspec.json.encode({INPUT: text}).decode()

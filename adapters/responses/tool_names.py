"""Names of tools, as another format writes them and as the caller knows them.

A namespace groups functions; other formats have none, so its functions go as `namespace__name`. A custom tool takes a free text;
where the upstream has no such tools it goes as a function with one string. Answers are read back the same way: a client that
gets its call under another name, or without its namespace, does not know it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from adapters.json_object import MALFORMED, Obj, of_request
from adapters.tool_names import has_long_names, short_name

_SEPARATOR = "__"
# The one argument of the function that stands for a custom tool.
INPUT = "input"


def flat_name(namespace: str, name: str) -> str:
    """The same name for the same tool in every request, and none that is too long."""
    return short_name(f"{namespace}{_SEPARATOR}{name}" if namespace else name)


@dataclass(frozen=True, slots=True)
class ToolNames:
    """What answers need of a request's tools."""

    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)  # flat name -> namespace or "", name
    customs: frozenset[str] = frozenset()

    def called(self, name: str) -> dict[str, str]:
        """Members of a call that say which tool it is."""
        namespace, own = self.namespaces.get(name, ("", name))
        return {"name": own, "namespace": namespace} if namespace else {"name": own}


def tool_names(tools: bytes | None) -> ToolNames:
    """From the request's `tools`, which was read already."""
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
    """The text that a model gave to the function which stands for a custom tool; else the arguments themselves."""
    try:
        found = msgspec.json.decode(arguments)
    except MALFORMED:
        return arguments
    if isinstance(found, dict) and isinstance(found.get(INPUT), str):
        return str(found[INPUT])
    return found if isinstance(found, str) else arguments


def wrapped(text: str) -> str:
    """The arguments that say it."""
    return msgspec.json.encode({INPUT: text}).decode()

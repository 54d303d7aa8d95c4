"""Parses YAML into a tree with line numbers, from the events of the C parser, without recursion and within limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import yaml

from sidecar.config.problems import ConfigErrors, Report, shown

# 6,001 routes are about 1.2 MB; a larger file is not a config.
TEXT_CHARS_MAX = 16 * 1024 * 1024
# Nodes after expanding aliases: 6,001 complete routes have about 200,000; "billion laughs" files have 10^9.
NODES_MAX = 1_000_000
# The deepest valid place (routes, item, model, config, key) is 6; this bounds all later recursion.
HEIGHT_MAX = 32

_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_STRING_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_TYPES = {"bool": "true or false", "int": "a number", "float": "a number", "timestamp": "a date", "null": "nothing"}


@dataclass(slots=True)
class Node:
    """A value with its line. `text` for a scalar, `items` for a list, `entries` for a mapping (merges applied)."""

    kind: Literal["scalar", "list", "mapping"]
    line: int
    text: str = ""
    plain: bool = False  # unquoted: YAML may interpret it as a number or a boolean
    variable: bool = False  # contains a variable's value: text, which readers of numbers and booleans accept too
    items: list[Node] = field(default_factory=list)
    entries: dict[str, MappingEntry] = field(default_factory=dict)
    size: int = 1  # number of nodes including itself, with aliases expanded
    height: int = 1
    closed: bool = True
    key: Node | None = None  # while a mapping is read: the key that waits for its value
    merges: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class MappingEntry:
    """A mapping's key, by line, and its value."""

    line: int
    value: Node


def yaml_type(node: Node) -> str:
    """How YAML 1.1 interprets a scalar: "text", or "a number", "a date", "true or false", "nothing"."""
    if not node.plain or node.variable:
        return "text"
    if _NUMBER.fullmatch(node.text):
        return "a number"
    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.get(node.text[:1], ())
    for tag, pattern in resolvers:
        if pattern.match(node.text):
            return _TYPES.get(tag.rpartition(":")[2], "text")
    return "text"


def parse(text: str, report: Report) -> Node:
    """Parses the file's single document. Raises ConfigErrors if parsing cannot continue; duplicate keys are only
    reported."""
    text = text.removeprefix("\ufeff")
    if len(text) > TEXT_CHARS_MAX:
        raise report.fatal(0, f"larger than {TEXT_CHARS_MAX // 1024 // 1024} MiB")
    if bad := _NOT_YAML.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        raise report.fatal(line, f"character U+{ord(bad.group()):04X} is not allowed in YAML")
    root = _Builder(report).build(_events(text, report))
    if root is None or (root.kind == "scalar" and yaml_type(root) == "nothing"):
        raise report.fatal(1, "the file is empty", "it needs `routes:` or `endpoints:`")
    return root


def _events(text: str, report: Report) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, report) from None
    except yaml.YAMLError:
        raise report.fatal(1, "not YAML") from None


def _syntax_error(error: yaml.MarkedYAMLError, text: str, report: Report) -> ConfigErrors:
    """The parser's messages are fixed sentences that quote nothing of the file; its `context` may."""
    lines = text.rstrip("\n").split("\n")
    mark = error.problem_mark or error.context_mark
    line = min(mark.line + 1, len(lines)) if mark else 1
    source = lines[line - 1]
    hint = ""
    if "\t" in source[: len(source) - len(source.lstrip())]:
        hint = "indent with blanks, not tabs"
    elif error.context_mark and error.context_mark.line + 1 < line:
        hint = f"the enclosing block begins in line {error.context_mark.line + 1}"
    return report.fatal(line, f"not YAML: {error.problem or 'malformed'}", hint)


class _Builder:
    """Assembles events. `_open` is the stack of unfinished lists and mappings."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._open: list[Node] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None
        self._documents = 0

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        for event in events:
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.ScalarEvent):
                self._add(self._scalar(event, line))
            elif isinstance(event, yaml.AliasEvent):
                self._add(self._alias(event, line))
            elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
                self._begin(event, line)
            elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
                self._end(line)
            elif isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise self._report.fatal(line, "a second YAML document starts here", "a file contains one document")
        return self._root

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> Node:
        string = event.tag in _STRING_TAGS
        if event.tag is not None and not string:
            self._report.error(line, "", "YAML tags (`!...`) are not supported")
        node = Node("scalar", line, event.value, plain=not event.style and not string)
        return self._name(event.anchor, node)

    def _alias(self, event: yaml.AliasEvent, line: int) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise self._report.fatal(line, "an alias (`*name`) has no anchor (`&name`) before it")
        if not node.closed:
            raise self._report.fatal(line, "an alias (`*name`) is inside what it names")
        return node

    def _begin(self, event: yaml.CollectionStartEvent, line: int) -> None:
        kind: Literal["list", "mapping"] = "list" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
        if event.tag is not None and event.tag not in ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            self._report.error(line, "", "YAML tags (`!...`) are not supported")
        node = self._name(event.anchor, Node(kind, line, closed=False))
        self._open.append(node)
        if len(self._open) > HEIGHT_MAX:
            raise self._report.fatal(line, f"nested deeper than {HEIGHT_MAX} levels")

    def _end(self, line: int) -> None:
        node = self._open.pop()
        for merged in node.merges:
            for name, entry in merged.entries.items():
                node.entries.setdefault(name, entry)
        node.merges.clear()
        node.closed = True
        if node.size > NODES_MAX:
            raise self._report.fatal(line, f"more than {NODES_MAX:,} values once aliases are expanded")
        if node.height > HEIGHT_MAX:
            raise self._report.fatal(line, f"nested deeper than {HEIGHT_MAX} levels once aliases are expanded")
        self._add(node)

    def _name(self, anchor: str | None, node: Node) -> Node:
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _add(self, node: Node) -> None:
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.size += node.size
        parent.height = max(parent.height, node.height + 1)
        if parent.kind == "list":
            parent.items.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            key, parent.key = parent.key, None
            self._put(parent, key, node)

    def _put(self, parent: Node, key: Node, value: Node) -> None:
        if key.kind != "scalar":
            self._report.error(key.line, "", "a key must be a word")
        elif key.plain and key.text == "<<":
            self._merge(parent, key, value)
        elif (first := parent.entries.get(key.text)) is not None:
            self._report.error(key.line, "", f"duplicate key {shown(key.text)}", f"first in line {first.line}")
        else:
            parent.entries[key.text] = MappingEntry(key.line, value)

    def _merge(self, parent: Node, key: Node, value: Node) -> None:
        merged = value.items if value.kind == "list" else [value]
        if any(node.kind != "mapping" for node in merged):
            self._report.error(key.line, "", "`<<` merges mappings only")
        else:
            parent.merges.extend(merged)

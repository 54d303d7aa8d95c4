"""Readers of single values: take a node, and return a validated value, or None with a problem reported."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from sidecar.config.problems import Report, near_miss, shown
from sidecar.config.yaml_tree import MappingEntry, Node, yaml_type

_Word = TypeVar("_Word", bound=str)
_KINDS = {"list": "a list", "mapping": "a mapping"}
_TRUTH = "true or false"
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}
_SIZE = re.compile(r"([0-9]{1,12}) ?(KiB|MiB|GiB)?")
BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, None: 1}
_DECIMAL = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,12}))?")
# One day: more is a mistaken unit, and asyncio's timers need a bound.
DURATION_S_MAX = 86_400.0
# The name of a model: an ARN or a path has a few hundred characters.
LINE_CHARS_MAX = 1024
# urlsplit silently drops tabs and newlines, so they are checked before.
_URL_CHARS = re.compile(r"[\x21-\x7e]+")


def kind_of(node: Node) -> str:
    """Describes the kind of value that the user wrote."""
    return _KINDS.get(node.kind) or yaml_type(node)


def empty(node: Node) -> bool:
    return node.kind == "scalar" and yaml_type(node) == "nothing"


def mapping(
    node: Node, path: str, report: Report, known: Collection[str], ignored: str = ""
) -> dict[str, MappingEntry] | None:
    """Returns the entries that have a value; `key:` without one counts as absent. Reports unknown keys, except
    those with the prefix `ignored`."""
    if node.kind != "mapping":
        report.error(node.line, path, f"expected a mapping, found {kind_of(node)}")
        return None
    for name, entry in node.entries.items():
        if name not in known and not (ignored and name.startswith(ignored)):
            report.error(entry.line, path, f"unknown key {shown(name)}", near_miss(name, known))
    return {name: entry for name, entry in node.entries.items() if name in known and not empty(entry.value)}


def text(node: Node, path: str, report: Report) -> str | None:
    """Reads a string. What YAML 1.1 interprets differently is refused: `no` as a name is an error rather than a
    guess."""
    found = kind_of(node)
    if found == "text":
        if node.text:
            return node.text
        report.error(node.line, path, "must not be empty")
    elif node.kind == "scalar":
        report.error(node.line, path, f"expected text, but YAML reads this as {found}", "put it in quotes")
    else:
        report.error(node.line, path, f"expected text, found {found}")
    return None


def line(node: Node, path: str, report: Report) -> str | None:
    """Text that fits on one line: no control characters, and at most LINE_CHARS_MAX."""
    found = text(node, path, report)
    if found is None or (found.isprintable() and len(found) <= LINE_CHARS_MAX):
        return found
    if len(found) > LINE_CHARS_MAX:
        report.error(node.line, path, f"is longer than {LINE_CHARS_MAX:,} characters")
    else:
        report.error(node.line, path, "has a character in it that cannot be printed, such as a line break")
    return None


def expect_list(node: Node, path: str, report: Report) -> list[Node] | None:
    """Returns the items; None with a problem reported if it is not a list."""
    if node.kind == "list":
        return node.items
    report.error(node.line, path, f"expected a list, found {kind_of(node)}")
    return None


def texts(node: Node, path: str, report: Report) -> tuple[str, ...] | None:
    """Reads a list of strings."""
    items = expect_list(node, path, report)
    if items is None:
        return None
    found = [text(item, f"{path}[{index}]", report) for index, item in enumerate(items)]
    return tuple(item for item in found if item is not None) if None not in found else None


def integer(node: Node, path: str, report: Report, least: int, most: int) -> int | None:
    if node.kind == "scalar" and re.fullmatch("[0-9]{1,15}", node.text) and least <= int(node.text) <= most:
        return int(node.text)
    report.error(node.line, path, f"expected a whole number from {least} to {most}")
    return None


def duration(node: Node, path: str, report: Report) -> float | None:
    """Reads seconds from a number or from text such as 500ms, 30s, 5m, 1h."""
    seconds = _seconds(node)
    if seconds is not None and 0.001 <= seconds <= DURATION_S_MAX:
        return seconds
    report.error(node.line, path, 'expected a time from 1ms to 24h, such as 30 (seconds), "500ms" or "5m"')
    return None


def long_duration(node: Node, path: str, report: Report, least_s: float, most_s: float) -> float | None:
    """Reads seconds for something that is not a timer, within limits that may be days."""
    seconds = _seconds(node)
    if seconds is not None and least_s <= seconds <= most_s:
        return seconds
    words = f'expected a time from {least_s:g}s to {most_s / _SECONDS["d"]:g}d, such as "30m", "1h" or "7d"'
    report.error(node.line, path, words)
    return None


def _seconds(node: Node) -> float | None:
    match = _DURATION.fullmatch(node.text) if node.kind == "scalar" else None
    return float(match[1]) * _SECONDS[match[2]] if match else None


def duration_or_off(node: Node, path: str, report: Report) -> float | None:
    """Like `duration`; returns 0.0 for `off`."""
    return 0.0 if node.kind == "scalar" and node.text == "off" else duration(node, path, report)


def size(node: Node, path: str, report: Report, least: int, most: int) -> int | None:
    """Reads bytes from a number or from text such as 64MiB."""
    match = _SIZE.fullmatch(node.text) if node.kind == "scalar" else None
    if match:
        count = int(match[1]) * BYTES[match[2]]
        if least <= count <= most:
            return count
    report.error(node.line, path, f'expected a size from {least} to {most} bytes, such as 65536 or "64MiB"')
    return None


def word(node: Node, path: str, report: Report, known: tuple[_Word, ...], what: str = "word") -> _Word | None:
    """Reads one of `known`, as written: also `off`, which YAML 1.1 reads as false. `what` is for the message."""
    for choice in known:
        if node.kind == "scalar" and node.text == choice:
            return choice
    report.error(node.line, path, f"unknown {what}", f"known: {', '.join(known)}")
    return None


def boolean(node: Node, path: str, report: Report) -> bool | None:
    found = truth(node)
    if found is None:
        report.error(node.line, path, "expected true or false")
    return found


def truth(node: Node) -> bool | None:
    """What YAML 1.1 reads as true or false, also from a variable; None for anything else."""
    if node.kind == "scalar" and yaml_type(replace(node, variable=False, plain=node.plain or node.variable)) == _TRUTH:
        return node.text.lower() in ("true", "yes", "on")
    return None


def decimal(node: Node, places: int) -> int | None:
    """Returns a number of at most `places` decimals times 10**places, exactly. None for anything else; the caller
    reports it."""
    match = _DECIMAL.fullmatch(node.text) if node.kind == "scalar" else None
    if match is None:
        return None
    rest = (match[2] or "").rstrip("0")
    return int(match[1]) * 10**places + int(rest.ljust(places, "0") or "0") if len(rest) <= places else None


def share(node: Node, path: str, report: Report) -> float | None:
    """Reads a share above 0 and up to 1."""
    millionths = decimal(node, 6)
    if millionths is not None and 0 < millionths <= 1_000_000:
        return millionths / 1_000_000
    report.error(node.line, path, "expected a share above 0 and up to 1, such as 0.8")
    return None


def url(node: Node, path: str, report: Report, *, user: bool = False) -> SplitResult | None:
    """Reads an http(s) URL without query or fragment, and without user and password unless `user` allows them.
    Messages never show it, because it may contain a password."""
    value = text(node, path, report)
    if value is None:
        return None
    if problem := url_problem(value, user=user):
        report.error(node.line, path, *problem)
        return None
    return urlsplit(value)


def url_problem(value: str, *, user: bool = False) -> tuple[str, str] | None:
    """Returns message and hint."""
    if not _URL_CHARS.fullmatch(value):
        return "must be a URL", "it contains blanks, control or non-ASCII characters"
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "must be a URL", "host or port is malformed"
    if parts.scheme not in ("http", "https") or not host:
        return "must be a URL that starts with http:// or https://", ""
    if "@" in parts.netloc and not user:
        return "must not contain a user or password", "use the setting for the key"
    if "?" in value or "#" in value:
        return "must not contain a query or fragment", ""
    return None


def loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", host))

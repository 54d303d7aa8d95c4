"""`sidecar check`: shows every problem of a config file at its line, without any secret."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sidecar.cli.terminal import BAD, GOOD, QUIET, WARN, console

if TYPE_CHECKING:
    from rich.console import Console

    from sidecar.config.problems import Problem

_LINE_CHARS_MAX = 120
_HIDDEN = "***"
# A value: whatever is between blanks and YAML's punctuation.
_VALUE = re.compile(r"[^\s,:{}\[\]\"'#]+")
# Values that are safe to show: short lower-case words, numbers, variables. Keys are longer, or mix letters and
# digits.
_HARMLESS = re.compile(
    r"\$?\{?[A-Z][A-Z0-9_]{0,40}\}?|[a-z]{1,20}(?:[_./-][a-z0-9]{1,12}){0,6}|[0-9]{1,9}[a-zA-Z]{0,2}|-{1,3}|[*&|>!]"
)
_LIKE_A_KEY = re.compile(r"(?:sk|pk|key|token|secret|bearer|xox|ghp|dapi|hf|gsk|xai|eyj)(?:[_./-]|$)", re.I)
# Keys whose values are shown if they are harmless. Values of other keys, or without a key, are not.
_SHOWN_AFTER = frozenset(
    {"name", "provider", "route_type", "endpoint_type", "strategy", "route", "weight", "roles", "local", "per", "each"}
    | {
        "requests",
        "tokens",
        "concurrent",
        "dollars",
        "soft",
        "calls",
        "renewal_period",
        "budget",
        "backoff",
        "backoff_max",
    }
    | {"connect", "first_output", "idle", "total", "write", "open", "window", "consecutive_failures", "error_ratio"}
)


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sidecar check config.yaml")(check)


def check(file: Annotated[str, typer.Argument(metavar="FILE", help="Config file to validate.")]) -> None:
    """Validate a config file.

    It prints every problem with its line, and exits with 1 if there is one. Values that could be secrets are shown as
    ***. On a terminal it uses colours, unless NO_COLOR is set.
    """
    from sidecar import config

    try:
        snapshot = config.load_file(file, os.environ, local_base_url=config.LOCAL_UNKNOWN)
    except config.ConfigErrors as errors:
        out = console(stderr=True)
        texts: dict[str, list[str]] = {}
        for problem in errors.problems:
            _print_problem(out, problem, texts)
        found = len(errors.problems)
        out.print(f"{found} problem{'s' * (found != 1)}", style=BAD)
        sys.exit(1)
    out = console()
    for warning in snapshot.warnings:
        out.print("warning:", warning, style=WARN)
    count = len(snapshot.routes)
    out.print(f"ok: {count} route{'s' * (count != 1)} (hash {snapshot.hash})", style=GOOD)


def _print_problem(out: Console, problem: Problem, texts: dict[str, list[str]]) -> None:
    from rich.text import Text

    place = f"{problem.file}:{problem.line}" if problem.line else problem.file
    words = Text(place, "bold").append(":" + (f" {problem.path}:" if problem.path else ""), "cyan")
    words.append(f" {problem.message}", BAD)
    if problem.hint:
        words.append(f"; {problem.hint}", QUIET)
    out.print(words)
    if problem.file not in texts:
        texts[problem.file] = _lines(problem.file)
    lines = texts[problem.file]
    if 0 < problem.line <= len(lines):
        shown, at, width = offending(lines[problem.line - 1], problem.path)
        gutter = f"{problem.line:>6} | "
        out.print(Text(gutter, QUIET).append(shown))
        if width:
            out.print(Text(" " * (len(gutter) - 2) + "| ", QUIET).append(" " * at + "^" * width, BAD))


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return []


def offending(line: str, path: str) -> tuple[str, int, int]:
    """Returns a line of the file without possible secrets, and the position of the last key of `path` in it: column
    and width (0: not in this line)."""
    code, comment, _ = _without_comment(line.expandtabs(4))
    key = re.split(r"[.\[\]]+", path.rstrip("]"))[-1] if path else ""
    pieces: list[str] = []
    at = end = width = 0
    shown_here = False
    for found in _VALUE.finditer(code):
        word = found[0]
        pieces.append(code[end : found.start()])
        end = found.end()
        is_key = code[end:].lstrip("\"' ").startswith(":")
        if is_key:
            shown_here = word in _SHOWN_AFTER
            if word == key and not width:
                at, width = sum(map(len, pieces)), len(word)
        pieces.append(word if (is_key or shown_here or word == "-") and _can_be_shown(word) else _HIDDEN)
    pieces.append(code[end:])
    shown = "".join(pieces).rstrip() + (" # ..." if comment else "")
    if len(shown) > _LINE_CHARS_MAX:
        shown = shown[:_LINE_CHARS_MAX] + "..."
    return (shown, at, width) if at + width <= _LINE_CHARS_MAX else (shown, 0, 0)


def _without_comment(line: str) -> tuple[str, str, str]:
    """Removes a comment, which may contain old keys; `#` begins one at the start of a line or after a blank."""
    found = re.search(r"(?:^|\s)#", line)
    return (line, "", "") if found is None else (line[: found.start()], "#", line[found.end() :])


def _can_be_shown(word: str) -> bool:
    return _HARMLESS.fullmatch(word) is not None and _LIKE_A_KEY.match(word) is None

"""Detects values that cannot be a key: variables in another tool's syntax, text around a key, a line of an env
file.

A provider would answer 401 to every call; here it is an error when the file is read. Messages never show a part of
the value, and the name of a variable only as `shown_variable` allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sidecar.config.problems import shown_variable

# Every quantifier is bounded, since a file may contain anything.
_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,99})"
# (pattern, description). The name, if there is one, goes into the hint.
_SYNTAXES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (rf"os\.environ/{_NAME}", "is written as in LiteLLM's config"),
        (rf"os\.(?:environ\[|getenv\()['\"]?{_NAME}['\"]?[\])]", "is Python, which is not run here"),
        (
            rf"\$?\{{\{{ {{0,9}}(?:\.?(?:env|ENV|secrets|vars|Values)\.)?{_NAME} {{0,9}}(?:\|[^{{}}]{{0,99}})?\}}\}}",
            "is a variable of a template",
        ),
        (rf"(?:process\.)?env\.{_NAME}", "is another tool's variable"),
        (rf"\$?env:{_NAME}", "is another tool's variable"),
        (rf"\$\{{env:{_NAME}\}}", "is another tool's variable"),
        (rf"\$\{{{_NAME}[:?+=-][^{{}}]{{0,99}}\}}", "is a shell variable with a default, which is not supported"),
        (rf"\$\({_NAME}\)", "is another tool's variable"),
        (rf"%{_NAME}%", "is written as on Windows"),
        (r"<[A-Za-z][^<>]{0,99}>", "is a placeholder"),
        (
            r"(?i)(?:your|my|insert|replace|enter)[-_ ][a-z_ -]{0,60}(?:key|token|secret)(?:[-_ ]here)?",
            "is a placeholder",
        ),
        (
            r"(?:op|vault|aws|gcp|azure|sm|awssm|akv|secretref)://?[!-~]{1,300}",
            "refers to a secret store, which is not supported",
        ),
        (r"!(?:env|ENV|secret) [ -~]{0,99}", "is another tool's variable"),
    )
)
# These three are only looked for at the beginning.
_SCHEME = re.compile(r"(?i)(?:bearer|basic|token|api-?key)[ \t]{1,9}[!-~]")
# A lone `=` ends base64, so something must follow it; a lower-case name must be that of a key.
_ASSIGNMENT = re.compile(
    r"[ \t\r\n]{0,9}(?:(?:export|set)[ \t]{1,9})?(?:[A-Z][A-Z0-9_]{0,99}|[A-Za-z_][A-Za-z0-9_]{0,99}(?<=key|ken|ret|ord))"
    r"[ \t]{0,9}=[ \t]{0,9}[^=\s]"
)
_JSON = re.compile(r'[ \t\r\n]{0,9}\{[ \t\r\n]{0,9}"')
_QUOTES = ("''", '""', "``", "\u2018\u2019", "\u201c\u201d")


def as_written(value: str) -> tuple[str, str] | None:
    """Returns message and hint for a key of the config file that is in another tool's syntax; None if it is not."""
    for pattern, words in _SYNTAXES:
        if match := pattern.fullmatch(value):
            return words, f"write {_variable(match)} or file:PATH"
    return None


def as_found(value: str) -> str:
    """Returns what is wrong with a key, wherever it came from; "" if nothing is."""
    tests: tuple[tuple[Callable[[str], object], str], ...] = (
        (_quoted, "has quotes around it; remove them (docker's --env-file keeps quotes)"),
        (
            _SCHEME.match,
            'begins with the scheme ("Bearer " or the like), which the gateway adds itself; remove it',
        ),
        (_ASSIGNMENT.match, "is a line NAME=value; only the part after the = is the key"),
        (_JSON.match, "is JSON; only the key itself belongs there"),
    )
    for fits, words in tests:
        if fits(value):
            return words
    if any(pattern.fullmatch(value) for pattern, _ in _SYNTAXES):
        return "is another tool's variable or a placeholder, not a key"
    return ""


def _quoted(value: str) -> bool:
    return len(value) >= 2 and value[0] + value[-1] in _QUOTES


def _variable(match: re.Match[str]) -> str:
    name = match.groupdict().get("name")
    shown = "NAME" if name is None else shown_variable(name)
    return f"${shown}" if shown == name else "$NAME"

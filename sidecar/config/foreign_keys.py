"""Keys that cannot be one: another tool's syntax for a variable, what stands around a key elsewhere, a line of an env file.

A provider would answer 401 to each, on every call; here it is an error when the file is read. No message shows a part of
the value: of a variable's name only what `shown_variable` allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sidecar.config.problems import shown_variable

# Every quantifier has a bound: whoever writes a file may write anything into it.
_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,99})"
# (what it looks like, in whose words). The name, where there is one, goes into the hint.
_SYNTAXES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (rf"os\.environ/{_NAME}", "is written as in LiteLLM's config"),
        (rf"os\.(?:environ\[|getenv\()['\"]?{_NAME}['\"]?[\])]", "is Python, which is not run here"),
        (
            rf"\$?\{{\{{ {{0,9}}(?:\.?(?:env|ENV|secrets|vars|Values)\.)?{_NAME} {{0,9}}(?:\|[^{{}}]{{0,99}})?\}}\}}",
            "is a template's variable",
        ),
        (rf"(?:process\.)?env\.{_NAME}", "is another tool's variable"),
        (rf"\$?env:{_NAME}", "is another tool's variable"),
        (rf"\$\{{env:{_NAME}\}}", "is another tool's variable"),
        (rf"\$\{{{_NAME}[:?+=-][^{{}}]{{0,99}}\}}", "is a shell's variable with a default, which is not read here"),
        (rf"\$\({_NAME}\)", "is another tool's variable"),
        (rf"%{_NAME}%", "is written as on Windows"),
        (r"<[A-Za-z][^<>]{0,99}>", "is a placeholder"),
        (
            r"(?i)(?:your|my|insert|replace|enter)[-_ ][a-z_ -]{0,60}(?:key|token|secret)(?:[-_ ]here)?",
            "is a placeholder",
        ),
        (
            r"(?:op|vault|aws|gcp|azure|sm|awssm|akv|secretref)://?[!-~]{1,300}",
            "names a secret store, which is not asked here",
        ),
        (r"!(?:env|ENV|secret) [ -~]{0,99}", "is another tool's variable"),
    )
)
# These three are looked for at the beginning.
_SCHEME = re.compile(r"(?i)(?:bearer|basic|token|api-?key)[ \t]{1,9}[!-~]")
# `=` alone ends base64, so something has to follow; a name in small letters has to be one of a key.
_ASSIGNMENT = re.compile(
    r"[ \t\r\n]{0,9}(?:(?:export|set)[ \t]{1,9})?(?:[A-Z][A-Z0-9_]{0,99}|[A-Za-z_][A-Za-z0-9_]{0,99}(?<=key|ken|ret|ord))"
    r"[ \t]{0,9}=[ \t]{0,9}[^=\s]"
)
_JSON = re.compile(r'[ \t\r\n]{0,9}\{[ \t\r\n]{0,9}"')
_QUOTES = ("''", '""', "``", "\u2018\u2019", "\u201c\u201d")


def as_written(value: str) -> tuple[str, str] | None:
    """Message and hint for a key of the config file that is another tool's syntax; None where it is none."""
    for pattern, words in _SYNTAXES:
        if match := pattern.fullmatch(value):
            return words, f"write {_variable(match)} or file:PATH"
    return None


def as_found(value: str) -> str:
    """What is wrong with a key, wherever it came from; "" where nothing is."""
    tests: tuple[tuple[Callable[[str], object], str], ...] = (
        (_quoted, "has quotes around it; leave them off (docker's --env-file keeps them)"),
        (
            _SCHEME.match,
            'begins with the scheme ("Bearer " or the like), which the gateway adds itself; leave it off',
        ),
        (_ASSIGNMENT.match, "is a line NAME=value; only what stands behind the = is the key"),
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

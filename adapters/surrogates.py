"""Lone surrogates. JSON may escape a character beyond U+FFFF as a surrogate pair (RFC 8259, 7), and a provider that
cuts its text in between sends each half in a separate string. Decoders refuse lone surrogates, so halves are
joined or become U+FFFD."""

from __future__ import annotations

import re

# Matches every escape, so that the backslash of another one does not count: \\ud83d is a backslash and text.
_ESCAPES = re.compile(
    rb"\\(?:(u[dD][89abAB][0-9a-fA-F]{2})(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?|(u[dD][c-fC-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_UNKNOWN = b"\\ufffd"
_MARKS = (b"\\ud", b"\\uD")


class Halves:
    """Joins the surrogates in one stream's events. A high surrogate at the end of a string waits for a low one at
    the start of another; if that never arrives, it is left out."""

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first = b""

    def joined(self, data: bytes) -> bytes:
        """Returns one event's JSON without lone surrogates; `data` itself if it has none."""
        if b"\\ud" not in data and b"\\uD" not in data:
            return data
        return _ESCAPES.sub(self._escape, data)

    def _escape(self, match: re.Match[bytes]) -> bytes:
        text, data = match[0], match.string
        if match[2]:
            first, self._first = self._first, b""
            return (first + text) if first and data[match.start() - 1 : match.start()] == b'"' else _UNKNOWN
        if not match[1] or len(text) > len(_UNKNOWN):
            return text
        if data[match.end() : match.end() + 1] != b'"':
            return _UNKNOWN
        self._first = text
        return b""


def may_have_halves(data: bytes) -> bool:
    """One search at a time: each one takes 10 ms on a large body, and blocks everything else."""
    return any(mark in data for mark in _MARKS)


def without_halves(data: bytes) -> bytes:
    """Replaces every lone surrogate by U+FFFD, in complete JSON."""

    def replaced(match: re.Match[bytes]) -> bytes:
        return _UNKNOWN if match[2] or (match[1] and len(match[0]) == len(_UNKNOWN)) else match[0]

    return _ESCAPES.sub(replaced, data)

"""Events of a stream that differ from earlier ones in their texts alone.

Nearly every event of a stream is the one before it with another word in it. A Stencil is such an event's bytes without the
texts of known members. An event that fits it parses to the same tree with other texts, so what was found out about the one
holds for the other, and its JSON need not be read.

    stencil = cut(event)             # None: it has no text in it
    stencil.texts(other)             # its texts as they stand in the JSON, or None: it does not fit

Why this is exact: a fitting event has the same bytes outside of the texts, and each text is a valid part of a JSON string:
no quote, no control character, and escapes of two characters only (RFC 8259, section 7). So any parser of JSON and of SSE
reads what stands between the texts in the same state.
"""

from __future__ import annotations

import re

from adapters.json_object import STRINGS

# Members whose strings are said to somebody: nothing is decided by them. In any place, at any depth.
_TEXTS = (
    *("content", "text", "reasoning", "reasoning_content", "thinking", "refusal", "tool_plan"),
    *("arguments", "partial_json"),
    "obfuscation",  # OpenAI's padding against guesses by length
)
# What comes before a text, and the text, unless it is empty. A quote within a string is escaped, so the name is one, or the end
# of a string.
_HOLE = re.compile(b'("(?:%b)" ?: ?")((?:[^"\\\\\\x00-\\x1f]|\\\\.)+)' % b"|".join(name.encode() for name in _TEXTS))
# \u is left to the JSON parser (half a character may be joined with the next event's), and so is \/, which nobody writes again.
_PART_OF_STRING = re.compile(rb'(?:[^"\\\x00-\x1f]|\\[nrtbf"\\])+').fullmatch
# Larger events gain nothing by it.
_EVENT_BYTES_MAX = 16 * 1024
_HOLES_MAX = 3


class Stencil:
    """An event without its texts."""

    __slots__ = ("_end", "_end_bytes", "_inner", "_start", "_start_bytes", "literals")

    def __init__(self, literals: tuple[bytes, ...]) -> None:
        self.literals = literals
        self._start, self._end = literals[0], literals[-1]
        self._start_bytes, self._end_bytes = len(self._start), len(self._end)
        self._inner = literals[1:-1]

    @property
    def holes(self) -> int:
        return len(self.literals) - 1

    def texts(self, event: bytes) -> list[bytes] | None:
        """The texts of an event that fits, none of them empty. None: it does not fit, or is not UTF-8."""
        if not (event.startswith(self._start) and event.endswith(self._end)):
            return None
        at, stop = self._start_bytes, len(event) - self._end_bytes
        found = []
        for literal in self._inner:
            next_ = event.find(literal, at, stop)
            if next_ < 0 or _PART_OF_STRING(event, at, next_) is None:
                return None
            found.append(event[at:next_])
            at = next_ + len(literal)
        if at >= stop or _PART_OF_STRING(event, at, stop) is None:
            return None
        found.append(event[at:stop])
        return found if event.isascii() or _is_utf8(event) else None

    def filled(self, texts: list[bytes]) -> bytes:
        """The event with these texts."""
        parts = [self._start]
        for text, literal in zip(texts, self.literals[1:], strict=True):
            parts += (text, literal)
        return b"".join(parts)


def cut(event: bytes) -> Stencil | None:
    """Of an event that a parser has read and found good."""
    if len(event) > _EVENT_BYTES_MAX:
        return None
    parts = _HOLE.split(event)
    holes = len(parts) // 3
    if not 0 < holes <= _HOLES_MAX:
        return None
    literals = [parts[3 * i] + parts[3 * i + 1] for i in range(holes)]
    return Stencil((*literals, parts[-1]))


def unescaped(text: bytes) -> str:
    """One of a stencil's texts."""
    return STRINGS.decode(b'"' + text + b'"') if b"\\" in text else text.decode()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

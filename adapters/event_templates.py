"""Templates for events that differ from earlier ones only in their texts.

Nearly every event of a stream equals the previous one but for a word. An EventTemplate is such an event's
bytes without the texts of known members. An event that matches it parses to the same tree with other texts,
so whatever was established for the first holds for the second, and its JSON need not be decoded.

    template = template_of(event)  # None if the event has no text
    template.texts(other)  # the texts of an event as JSON encodes them, or None if it does not match

Why this is exact: a matching event has the same bytes outside the texts, and each text is a valid part of a
JSON string: no quote, no control character, and only two-character escapes (RFC 8259, section 7). So any JSON
and SSE parser is in the same state wherever the two agree.
"""

from __future__ import annotations

import re

from adapters.json_object import STRINGS

# Members whose strings are meant for readers, so that nothing depends on them. They count at any depth.
_TEXTS = (
    *("content", "text", "reasoning", "reasoning_content", "thinking", "refusal", "tool_plan"),
    *("arguments", "partial_json"),
    "obfuscation",  # OpenAI's padding against side channels by length
)
# What precedes a text, and the text unless it is empty. Quotes within a string are escaped, so the quoted name is a
# name or the end of a string.
_SLOT = re.compile(b'("(?:%b)" ?: ?")((?:[^"\\\\\\x00-\\x1f]|\\\\.)+)' % b"|".join(name.encode() for name in _TEXTS))
# \u is left to the JSON parser (a surrogate may be completed by the next event), and so is \/, which no encoder
# writes.
_PART = rb'(?:[^"\\\x00-\x1f]++|\\[nrtbf"\\])++'
_PART_OF_STRING = re.compile(_PART).fullmatch
# Larger events do not gain from this.
_EVENT_BYTES_MAX = 16 * 1024
_SLOTS_MAX = 3
# What replaces the literals between the texts of a run of events. None of these bytes can occur in a text.
_NEXT_EVENT, _NEXT_SLOT = b"\n", (b"\x01", b"\x02")
# The texts of such a run, by the number of slots less one.
_RUNS = tuple(
    re.compile(b"%b(?:\n%b)*+" % (texts, texts)).fullmatch
    for texts in (_PART, b"%b\x01%b" % (_PART, _PART), b"%b\x01%b\x02%b" % (_PART, _PART, _PART))
)


class EventTemplate:
    """An event without its texts."""

    __slots__ = ("_between", "_end", "_end_bytes", "_inner", "_start", "_start_bytes", "literals")

    def __init__(self, literals: tuple[bytes, ...]) -> None:
        self.literals = literals
        self._start, self._end = literals[0], literals[-1]
        self._start_bytes, self._end_bytes = len(self._start), len(self._end)
        self._inner = literals[1:-1]
        whole = b"".join(literals)
        ends_in_blank_line = b"\r" not in whole and whole.find(b"\n\n") == len(whole) - 2 >= 0
        # What separates the texts of two such events; b"" if `run` does not apply.
        self._between = self._end + self._start if ends_in_blank_line else b""

    @property
    def slots(self) -> int:
        return len(self.literals) - 1

    def texts(self, event: bytes) -> list[bytes] | None:
        """Returns the texts of a matching event, none of them empty; None if it does not match or is not UTF-8."""
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

    def run(self, data: bytes) -> tuple[int, int]:
        """Matches several events at once, at a fifth of the cost of one by one. Returns how many at the start of `data`
        match, and their length in bytes; (0, 0) means that they are to be matched one by one."""
        if not self._between or not data.startswith(self._start):
            return 0, 0
        stop = data.rfind(self._end)
        texts = data[self._start_bytes : max(stop, 0)].split(self._between)
        joined = _NEXT_EVENT.join(texts)
        if len(texts) == 1 or joined.count(_NEXT_EVENT) >= len(texts):
            return 0, 0
        for separator, literal in zip(_NEXT_SLOT, self._inner, strict=False):
            if separator in joined:
                return 0, 0
            joined = joined.replace(literal, separator)
        if _RUNS[len(self._inner)](joined) is None or not (joined.isascii() or _is_utf8(joined)):
            return 0, 0
        return len(texts), stop + self._end_bytes

    def fill(self, texts: list[bytes]) -> bytes:
        """The event with these texts."""
        parts = [self._start]
        for text, literal in zip(texts, self.literals[1:], strict=True):
            parts += (text, literal)
        return b"".join(parts)


def template_of(event: bytes) -> EventTemplate | None:
    """Returns the template of an event that a parser has accepted; None if it has no text."""
    if len(event) > _EVENT_BYTES_MAX:
        return None
    parts = _SLOT.split(event)
    slots = len(parts) // 3
    if not 0 < slots <= _SLOTS_MAX:
        return None
    literals = [parts[3 * i] + parts[3 * i + 1] for i in range(slots)]
    return EventTemplate((*literals, parts[-1]))


def unescaped(text: bytes) -> str:
    """Decodes one of a template's texts."""
    return STRINGS.decode(b'"' + text + b'"') if b"\\" in text else text.decode()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True

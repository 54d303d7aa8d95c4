"""Translates events that differ from earlier ones only in their texts without decoding their JSON.

Most events of a stream are alike except for a few strings. A decoder reports after an event whether it
`repeats`: whether the same event with other texts would have the same effect. The effect is then determined
once, with placeholders for the texts, and kept as a Repeat that applies to every event matching its template.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters import Decoder, EventTemplate, Framing, template_of, unescaped

# A stream may alternate between choices and tool calls.
_KEPT_MAX = 4
# After this many unused templates in a row, every event is assumed to be different.
_MADE_MAX = 4
_PLACEHOLDERS = (b"zqxMark0", b"zqxMark1", b"zqxMark2")

ChunkEncoder = Callable[[Any], bytes]


class PassedRepeat:
    """An event that passes through undecoded: there is nothing to write."""

    __slots__ = ("template",)

    def __init__(self, template: EventTemplate) -> None:
        self.template = template

    def write(self, texts: list[bytes]) -> tuple[bytes, int]:
        return b"", 0


class TextRepeat:
    """An event whose chunk is written as JSON: the texts are copied as the provider wrote them."""

    __slots__ = ("_counted", "_literals", "_slots", "template")

    def __init__(self, template: EventTemplate, encoded: bytes, counted: tuple[int, ...]) -> None:
        """`encoded` is the chunk with placeholders. Raises ValueError if one occurs twice in it."""
        self.template = template
        self._counted = counted
        found = sorted((at, i) for i in range(template.slots) if (at := _find_once(encoded, _PLACEHOLDERS[i])) >= 0)
        self._slots = tuple(i for _, i in found)
        self._literals = []
        at = 0
        for begin, i in found:
            self._literals.append(encoded[at:begin])
            at = begin + len(_PLACEHOLDERS[i])
        self._literals.append(encoded[at:])

    def write(self, texts: list[bytes]) -> tuple[bytes, int]:
        """Returns what the caller gets, and its number of output characters."""
        parts = [self._literals[0]]
        for slot, literal in zip(self._slots, self._literals[1:], strict=True):
            parts += (texts[slot], literal)
        return b"".join(parts), sum(len(unescaped(texts[i])) for i in self._counted)


class MessageRepeat:
    """An event whose chunk is written as a message: one chunk is reused and filled with the texts."""

    __slots__ = ("_chunk", "_counted", "_places", "template")

    def __init__(self, template: EventTemplate, chunk: Any, places: list[_Place], counted: tuple[int, ...]) -> None:
        self.template = template
        self._chunk = chunk
        self._places = places
        self._counted = counted

    def write(self, texts: list[bytes]) -> tuple[bytes, int]:
        strings = [unescaped(text) for text in texts]
        for owner, field, slot, around in self._places:
            if around is None:
                setattr(owner, field, strings[slot])
            else:  # JSON inside a string
                setattr(owner, field, around[0] + texts[slot].decode() + around[1])
        return self._chunk.SerializeToString(), sum(len(strings[i]) for i in self._counted)


_Place = tuple[Any, str, int, tuple[str, str] | None]
Repeat = PassedRepeat | TextRepeat | MessageRepeat


class Repeats:
    """The repeats of one stream. `encode_chunk` writes a chunk as JSON; None if chunks are written as messages."""

    __slots__ = ("_candidate", "_decoder", "_encode_chunk", "_found", "_left", "_make_framing", "_passes", "known")

    def __init__(
        self, decoder: Decoder, make_framing: Callable[[], Framing], *, passes: bool, encode_chunk: ChunkEncoder | None
    ) -> None:
        self._decoder = decoder
        self._make_framing = make_framing
        self._passes = passes
        self._encode_chunk = encode_chunk
        self._left = _MADE_MAX
        self._candidate: tuple[bytes, ...] = ()  # literals of the last event without a template
        self._found = False  # whether the newest template has matched an event
        self.known: list[Repeat] = []

    def match(self, event: bytes) -> list[bytes] | None:
        """Returns the texts of an event that matches a known template, else None."""
        texts = self.known[0].template.texts(event)
        if texts is not None:
            self._found = True
            return texts
        for i, repeat in enumerate(self.known[1:], 1):
            texts = repeat.template.texts(event)
            if texts is not None:
                self.known.insert(0, self.known.pop(i))
                self._found = True
                return texts
        return None

    def run(self, data: bytes) -> tuple[int, int]:
        """Matches events at the start of `data` at once. Returns their number and length; (0, 0) if they are to be
        matched one by one."""
        found = self.known[0].template.run(data)
        if found[0]:
            self._found = True
        return found

    def write(self, texts: list[bytes]) -> tuple[bytes, int]:
        """Writes the event that `texts` matched last. Returns what the caller gets, and its number of output
        characters."""
        return self.known[0].write(texts)

    def learn(self, event: bytes) -> None:
        """Learns from an event, after the decoder was fed it."""
        if not self._decoder.repeats:
            self.known.clear()
            return
        if self._left <= 0 or (template := template_of(event)) is None:
            return
        if any(repeat.template.literals == template.literals for repeat in self.known):
            return  # its texts are empty or have escapes
        # building a template costs as much as decoding two events
        if not self._passes and template.literals != self._candidate:
            self._candidate = template.literals
            return
        self._left = _MADE_MAX if self._found else self._left - 1
        self._found = False
        repeat = PassedRepeat(template) if self._passes else self._build(template)
        if repeat is not None:
            del self.known[_KEPT_MAX - 1 :]
            self.known.insert(0, repeat)

    def _build(self, template: EventTemplate) -> Repeat | None:
        """Determines the effect of the event by decoding it with placeholders for its texts. None if that cannot be
        expressed."""
        event = template.fill(list(_PLACEHOLDERS[: template.slots]))
        framing = self._make_framing()
        framing.feed(b"\n\n")  # past the point where a byte order mark may occur
        chunks = [chunk for each in framing.feed(event) for chunk in self._decoder.feed(each)]
        if len(chunks) != 1 or not self._decoder.repeats:
            return None
        places: list[_Place] = []
        try:
            _find_placeholders(chunks[0], template.slots, places)
            counted = tuple(slot for owner, field, slot, around in places if around is None)
            if self._encode_chunk is None:
                return MessageRepeat(template, chunks[0], places, counted)
            return TextRepeat(template, self._encode_chunk(chunks[0]), counted)
        except ValueError:
            return None


def _find_placeholders(message: Any, slots: int, places: list[_Place]) -> None:
    """Collects where in a message the placeholders are. Raises ValueError for a field with more than one."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for each in value if field.is_repeated else (value,):
                _find_placeholders(each, slots, places)
        elif field.type == field.TYPE_STRING and not field.is_repeated:
            found = [i for i in range(slots) if _PLACEHOLDERS[i].decode() in value]
            if len(found) > 1:
                raise ValueError("two placeholders in a field")
            for i in found:
                before, mark, after = value.partition(_PLACEHOLDERS[i].decode())
                if mark in after:
                    raise ValueError("a placeholder twice in a field")
                places.append((message, field.name, i, None if value == mark else (before, after)))


def _find_once(data: bytes, mark: bytes) -> int:
    """Returns the index of `mark`, or -1. Raises ValueError if it occurs twice."""
    at = data.find(mark)
    if at >= 0 and data.find(mark, at + 1) >= 0:
        raise ValueError("a placeholder twice")
    return at

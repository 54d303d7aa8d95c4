"""Events of a stream that repeat earlier ones with other texts, and what becomes of them without reading their JSON.

A decoder says of an event whether it `repeats`: the same with other texts would do the same, until one comes that does not. What
it would do is then found out once, with marks for texts, and remembered as a Repeat for all events that fit its stencil.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters import Decoder, Framing, Stencil, cut, unescaped

# Choices and tool calls may take turns.
_KEPT_MAX = 4
# So many are made in vain, one after another; then every event of the stream is another one.
_MADE_MAX = 4
_MARKS = (b"zqxMark0", b"zqxMark1", b"zqxMark2")

Written = Callable[[Any], bytes]


class Passed:
    """Of an event that passes unread: there is nothing to write."""

    __slots__ = ("stencil",)

    def __init__(self, stencil: Stencil) -> None:
        self.stencil = stencil

    def write(self, texts: list[bytes]) -> tuple[bytes, int]:
        return b"", 0


class WrittenText:
    """Of an event whose chunk is written as JSON for the caller: the texts stand there as the provider wrote them."""

    __slots__ = ("_counted", "_holes", "_literals", "stencil")

    def __init__(self, stencil: Stencil, written: bytes, counted: tuple[int, ...]) -> None:
        """`written` is the chunk with marks. Raises ValueError where a mark stands in it twice."""
        self.stencil = stencil
        self._counted = counted
        found = sorted((at, i) for i in range(stencil.holes) if (at := _only(written, _MARKS[i])) >= 0)
        self._holes = tuple(i for _, i in found)
        self._literals = []
        at = 0
        for begin, i in found:
            self._literals.append(written[at:begin])
            at = begin + len(_MARKS[i])
        self._literals.append(written[at:])

    def write(self, texts: list[bytes]) -> tuple[bytes, int]:
        """What the caller gets, and how many characters of output that is."""
        parts = [self._literals[0]]
        for hole, literal in zip(self._holes, self._literals[1:], strict=True):
            parts += (texts[hole], literal)
        return b"".join(parts), sum(len(unescaped(texts[i])) for i in self._counted)


class WrittenMessage:
    """Of an event whose chunk is a message for the caller: one chunk is kept, and gets the texts."""

    __slots__ = ("_chunk", "_counted", "_places", "stencil")

    def __init__(self, stencil: Stencil, chunk: Any, places: list[_Place], counted: tuple[int, ...]) -> None:
        self.stencil = stencil
        self._chunk = chunk
        self._places = places
        self._counted = counted

    def write(self, texts: list[bytes]) -> tuple[bytes, int]:
        strings = [unescaped(text) for text in texts]
        for owner, field, hole, around in self._places:
            if around is None:
                setattr(owner, field, strings[hole])
            else:  # JSON in a string
                setattr(owner, field, around[0] + texts[hole].decode() + around[1])
        return self._chunk.SerializeToString(), sum(len(strings[i]) for i in self._counted)


_Place = tuple[Any, str, int, tuple[str, str] | None]
Repeat = Passed | WrittenText | WrittenMessage


class Repeats:
    """Those of one stream. `written` is how a chunk is written for the caller: as JSON, or None for a message."""

    __slots__ = ("_candidate", "_decoder", "_found", "_left", "_make_framing", "_passes", "_written", "known")

    def __init__(
        self, decoder: Decoder, make_framing: Callable[[], Framing], *, passes: bool, written: Written | None
    ) -> None:
        self._decoder = decoder
        self._make_framing = make_framing
        self._passes = passes
        self._written = written
        self._left = _MADE_MAX
        self._candidate: tuple[bytes, ...] = ()  # the literals of the last event that is not known
        self._found = False  # an event that repeats one, since the last was made
        self.known: list[Repeat] = []

    def texts(self, event: bytes) -> list[bytes] | None:
        """Those of an event that repeats a known one; None: it does not."""
        texts = self.known[0].stencil.texts(event)
        if texts is not None:
            self._found = True
            return texts
        for i, repeat in enumerate(self.known[1:], 1):
            texts = repeat.stencil.texts(event)
            if texts is not None:
                self.known.insert(0, self.known.pop(i))
                self._found = True
                return texts
        return None

    def write(self, texts: list[bytes]) -> tuple[bytes, int]:
        """What the caller gets of the event whose texts were found last, and how many characters of output that is."""
        return self.known[0].write(texts)

    def note(self, event: bytes) -> None:
        """After the decoder was fed the event."""
        if not self._decoder.repeats:
            self.known.clear()
            return
        if self._left <= 0 or (stencil := cut(event)) is None:
            return
        if any(repeat.stencil.literals == stencil.literals for repeat in self.known):
            return  # its texts have escapes, or are empty
        if not self._passes and stencil.literals != self._candidate:  # finding out costs as much as reading two
            self._candidate = stencil.literals
            return
        self._left = _MADE_MAX if self._found else self._left - 1
        self._found = False
        repeat = Passed(stencil) if self._passes else self._probed(stencil)
        if repeat is not None:
            del self.known[_KEPT_MAX - 1 :]
            self.known.insert(0, repeat)

    def _probed(self, stencil: Stencil) -> Repeat | None:
        """What comes of the event with marks in place of its texts. The decoder has said that nothing else does."""
        event = stencil.filled(list(_MARKS[: stencil.holes]))
        framing = self._make_framing()
        framing.feed(b"\n\n")  # a stream may begin with a byte order mark; it has begun now
        chunks = [chunk for each in framing.feed(event) for chunk in self._decoder.feed(each)]
        if len(chunks) != 1 or not self._decoder.repeats:
            return None
        places: list[_Place] = []
        try:
            _find_marks(chunks[0], stencil.holes, places)
            counted = tuple(hole for owner, field, hole, around in places if around is None)
            if self._written is None:
                return WrittenMessage(stencil, chunks[0], places, counted)
            return WrittenText(stencil, self._written(chunks[0]), counted)
        except ValueError:
            return None


def _find_marks(message: Any, holes: int, places: list[_Place]) -> None:
    """Where in a message the marks are. Raises ValueError for a field with more than one."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for each in value if field.is_repeated else (value,):
                _find_marks(each, holes, places)
        elif field.type == field.TYPE_STRING and not field.is_repeated:
            found = [i for i in range(holes) if _MARKS[i].decode() in value]
            if len(found) > 1:
                raise ValueError("two texts in a field")
            for i in found:
                before, mark, after = value.partition(_MARKS[i].decode())
                if mark in after:
                    raise ValueError("a text twice in a field")
                places.append((message, field.name, i, None if value == mark else (before, after)))


def _only(data: bytes, mark: bytes) -> int:
    """Where it is; -1: nowhere. Raises ValueError: in two places."""
    at = data.find(mark)
    if at >= 0 and data.find(mark, at + 1) >= 0:
        raise ValueError("a text twice")
    return at

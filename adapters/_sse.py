"""Server-sent events: bytes in, events out (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters._errors import GatewayError, Kind

# One event's bytes at most. Tool arguments and base64 audio come in events of hundreds of kilobytes.
EVENT_BYTES_MAX = 8 * 1024 * 1024

# A line ends at CR LF, LF or CR and nowhere else: U+2028 inside JSON must not split. The end of an event is a line end
# followed at once by another.
_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"
# An event's end is at most four bytes; that much of what was searched is searched again when more bytes come.
_OVERLAP = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` is the joined data lines; `raw` the event's bytes as they came, with the blank line that ends it."""

    name: str
    data: bytes
    raw: bytes


class Parser:
    """Takes the bytes of a stream in any cuts. Joining the `raw` of all events gives the stream back, but for a last
    unfinished event: that is none, and `pending` tells of it."""

    __slots__ = ("_bytes", "_buffer", "_searched", "_started")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._started = False

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished event are held."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises upstream_protocol for an event above EVENT_BYTES_MAX."""
        buffer = self._buffer
        buffer += data
        if not self._started and not self._start():
            return []
        events: list[Event] = []
        begin = 0
        search = self._searched
        while (end := _EVENT_END.search(buffer, search)) is not None:
            # A CR at the very end may be the first half of CR LF: wait for the next byte.
            if end.end() == len(buffer) and buffer[-1] == 0x0D:
                break
            search = end.end()
            events.append(_event(bytes(buffer[begin:search])))
            begin = search
        if begin:
            del buffer[:begin]
        self._searched = max(0, len(buffer) - _OVERLAP)
        if len(buffer) > EVENT_BYTES_MAX:
            raise GatewayError(
                Kind.UPSTREAM_PROTOCOL, f"The provider sent an event larger than {EVENT_BYTES_MAX} bytes."
            )
        return events

    def _start(self) -> bool:
        """Skips a byte order mark; False while there are too few bytes to tell."""
        buffer = self._buffer
        if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
            return False
        if buffer.startswith(_BOM):
            del buffer[: len(_BOM)]
        self._started = True
        return True

    def close(self) -> list[Event]:
        """The end of the stream: an event whose blank line's second half (after CR) never came is whole all the same."""
        buffer = self._buffer
        end = _EVENT_END.search(buffer, self._searched)
        if end is None:
            return []
        event = _event(bytes(buffer[: end.end()]))
        del buffer[: end.end()]
        return [event]


def _event(raw: bytes) -> Event:
    if raw.startswith(b"data: ") and raw.endswith(b"\n\n") and raw.count(b"\n") == 2 and b"\r" not in raw:
        return Event("", raw[6:-2], raw)  # nearly every event of nearly every provider
    name = ""
    data: list[bytes] = []
    for line in _LINE_END.split(raw):
        field, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return Event(name, b"\n".join(data), raw)

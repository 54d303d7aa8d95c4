"""Server-sent events: bytes in, events out (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapters.errors import GatewayError, Kind
from adapters.failures import gateway_error, named_kind, read_failure
from adapters.http_errors import kind_of_status
from adapters.json_object import BYTE_ORDER_MARK
from adapters.surrogates import Halves

# Maximum size of one event: that of a whole answer, which some servers send as a single event.
EVENT_BYTES_MAX = 64 * 1024 * 1024

# Lines end at CR LF, LF or CR and nowhere else: U+2028 inside JSON must not split. An event ends at a line end
# immediately followed by another one.
_LINE_END = re.compile(rb"\r\n|\n|\r")
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
# Events of comments and empty lines, as many as are complete. Each ends at its first empty line but one that begins it: the same
# as `_EVENT_END` finds one by one, so that what is an event does not depend on how the bytes were cut.
_SILENT_EVENTS = re.compile(
    rb"(?:(?::[^\r\n]*+)?(?:\r\n|\n|\r(?!\n))(?::[^\r\n]*+(?:\r\n|\n|\r(?!\n)))*+(?:\r\n|\n|\r(?!\n)))++"
)
_NOT_EVENTS = {b"{": "JSON", b"[": "JSON", b"<": "a page of HTML"}
# The end of an event has at most four bytes, so this much is searched again when more bytes arrive.
_OVERLAP = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `data` are the joined data lines; `raw` the original bytes, including the blank line at the end."""

    name: str
    data: bytes
    raw: bytes


class Parser:
    """Accepts the bytes of a stream in pieces of any size.

    Adjacent comments become one event, since handling a flood of them one by one would cost a thousand times as
    much. The concatenated `raw` of all events is the stream, except for a byte order mark at its start and a missing
    blank line at its end, which is added.
    """

    __slots__ = ("_buffer", "_carriage", "_first", "_halves", "_searched", "_seen", "_started")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._started = False
        self._carriage = False
        self._halves = Halves()
        self._first = b""  # the first bytes other than blanks, until there was an event
        self._seen = False  # an event with data

    @property
    def between(self) -> bool:
        return self._started and not self._buffer and not self._carriage

    def feed(self, data: bytes) -> list[Event]:
        """Returns the events that `data` completes. Raises upstream_protocol for an event above EVENT_BYTES_MAX."""
        if not self._carriage and b"\r" in data:
            self._carriage = True
        if not self._buffer and self._started and not self._carriage and data.find(b"\n\n") == len(data) - 2 >= 0:
            return [self._event(data)]  # exactly one event, as in nearly every read
        self._buffer += data
        if not self._first:
            self._first = data.lstrip()[:1]  # only blanks preceded it
        if not self._started and not self._start():
            return []
        return self._split()

    def _split(self) -> list[Event]:
        buffer = self._buffer
        events: list[Event] = []
        begin = 0
        end = self._end(self._searched)
        while end > 0:
            with memoryview(buffer) as view:
                event = self._event(bytes(view[begin:end]))
            if not event.data and not event.name and (more := self._silent_until(end)):
                end = more
                with memoryview(buffer) as view:
                    event = Event("", b"", bytes(view[begin:end]))
            events.append(event)
            begin = end
            end = self._end(begin)
        if begin:
            del buffer[:begin]
        self._searched = max(0, len(buffer) - _OVERLAP)
        if len(buffer) > EVENT_BYTES_MAX:
            raise _too_large()
        return events

    def _silent_until(self, begin: int) -> int:
        """Where the comments and empty lines that begin here end, as far as they are complete events; 0 if none
        are."""
        buffer = self._buffer
        half = bool(buffer) and buffer[-1] == 0x0D  # it may be the first half of CR LF
        run = _SILENT_EVENTS.match(buffer, begin, len(buffer) - half)
        return 0 if run is None else run.end()

    def _end(self, begin: int) -> int:
        """Where the event that contains `begin` ends; 0 if its end has not arrived."""
        buffer = self._buffer
        if not self._carriage:
            at = buffer.find(b"\n\n", begin)
            return at + 2 if at >= 0 else 0
        match = _EVENT_END.search(buffer, begin)
        # A CR at the very end may be the first half of CR LF: wait for the next byte.
        if match is None or (match.end() == len(buffer) and buffer[-1] == 0x0D):
            return 0
        return match.end()

    def _start(self) -> bool:
        """Skips a byte order mark. Returns False while there are too few bytes to tell."""
        buffer = self._buffer
        if len(buffer) < len(BYTE_ORDER_MARK) and BYTE_ORDER_MARK.startswith(buffer):
            return False
        if buffer.startswith(BYTE_ORDER_MARK):
            del buffer[: len(BYTE_ORDER_MARK)]
        self._started = True
        return True

    def close(self) -> list[Event]:
        """Ends the stream. A last event without its blank line counts, since providers forget it. Raises
        upstream_protocol if this was not an event stream at all."""
        last = bytes(self._buffer).rstrip(b"\r\n \t")
        self._buffer.clear()
        events = [self._event(last + b"\n\n")] if last else []
        if not self._seen and (what := _NOT_EVENTS.get(self._first)) is not None:
            reason = _reason(last) if what == "JSON" else ""
            text = f"The provider answered with {what} where a stream of events (text/event-stream) was requested"
            raise GatewayError(Kind.UPSTREAM_PROTOCOL, f"{text}: {reason}" if reason else f"{text}.")
        return events

    def _event(self, raw: bytes) -> Event:
        event = _event(raw)
        if event.data:
            self._seen = True
            data = self._halves.joined(event.data)
            return event if data is event.data else Event(event.name, data, raw)
        return event


def _reason(body: bytes) -> str:
    """The text of an otherwise unknown failure. Raises one whose status, code, type or message identifies it."""
    failure = read_failure(body)
    status = failure.http_status()
    known = named_kind(failure) if status is None else kind_of_status(status)
    error = gateway_error(known or Kind.UPSTREAM_UNAVAILABLE, failure, word=failure.code)
    if failure.message and (known is not None or error.kind is not Kind.UPSTREAM_UNAVAILABLE):
        raise error
    return failure.message


def _too_large() -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider sent an event larger than {EVENT_BYTES_MAX} bytes.")


def _event(raw: bytes) -> Event:
    if len(raw) > EVENT_BYTES_MAX:
        raise _too_large()
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

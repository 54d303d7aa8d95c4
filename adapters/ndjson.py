"""Newline-delimited JSON as a stream format: bytes in, one event per line out."""

from __future__ import annotations

import re

from adapters.errors import GatewayError, Kind
from adapters.json_object import BYTE_ORDER_MARK
from adapters.sse import EVENT_BYTES_MAX, Event
from adapters.surrogates import Halves

# Handled one by one, a flood of them would cost a thousand times as much.
_BLANK_LINES = re.compile(rb"[ \t\r\n]*\n")


class Lines:
    """Accepts the bytes of a stream in pieces of any size. Lines end at LF; blank ones are skipped."""

    __slots__ = ("_buffer", "_halves", "_searched")
    between = False  # no empty line ends an event

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._halves = Halves()

    def feed(self, data: bytes) -> list[Event]:
        """Returns the lines that `data` completes. Raises upstream_protocol for a line above EVENT_BYTES_MAX."""
        buffer = self._buffer
        buffer += data
        events: list[Event] = []
        begin = 0
        end = buffer.find(b"\n", self._searched)
        while end >= 0:
            events += self._event(bytes(buffer[begin : end + 1]))
            blank = _BLANK_LINES.match(buffer, end + 1)
            begin = end + 1 if blank is None else blank.end()
            del blank  # the buffer cannot be resized while a match refers to it
            end = buffer.find(b"\n", begin)
        del buffer[:begin]
        self._searched = len(buffer)
        if len(buffer) > EVENT_BYTES_MAX:
            raise _too_large()
        return events

    def close(self) -> list[Event]:
        """The end of the stream also ends the last line; the decoder detects whether it is complete."""
        last, self._buffer = bytes(self._buffer), bytearray()
        self._searched = 0
        return self._event(last)

    def _event(self, raw: bytes) -> list[Event]:
        if len(raw) > EVENT_BYTES_MAX:
            raise _too_large()
        data = self._halves.joined(raw.removeprefix(BYTE_ORDER_MARK).strip(b" \t\r\n"))
        return [Event("", data, raw)] if data else []


def _too_large() -> GatewayError:
    return GatewayError(Kind.UPSTREAM_PROTOCOL, f"The provider sent a line larger than {EVENT_BYTES_MAX} bytes.")

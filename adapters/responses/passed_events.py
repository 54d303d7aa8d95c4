"""Completes a stream whose bytes pass through: if it breaks off, sends `response.failed` with the response's id and
the next sequence number. Programs stop at another id, and take a missing end for success."""

from __future__ import annotations

from typing import Any

import msgspec

from adapters.contract import Context, Envelope
from adapters.errors import GatewayError
from adapters.json_object import MALFORMED
from adapters.responses.stream import ResponseWriter
from adapters.sse import Parser


class _Numbered(msgspec.Struct):
    sequence_number: int | None = None
    response: dict[str, Any] | None = None


_EVENTS = msgspec.json.Decoder(_Numbered)


class PassedEvents:
    """Parses nothing while all is well: keeps the first and the last piece."""

    __slots__ = ("_context", "_envelope", "_first", "_last")

    def __init__(self, envelope: Envelope, context: Context) -> None:
        self._envelope = envelope
        self._context = context
        self._first = self._last = b""

    def passed(self, piece: bytes) -> None:
        """Notes complete events as they are sent."""
        self._first = self._first or piece
        self._last = piece

    def end(self) -> bytes:
        return b""

    def failed(self, error: GatewayError, request_id: str) -> bytes:
        heads = [event.response for event in _read(self._first) if event.response is not None]
        numbers = [event.sequence_number for event in _read(self._last) if event.sequence_number is not None]
        if not heads:  # nothing has been sent
            return ResponseWriter(self._envelope, self._context).failed(error, request_id)
        found = {"code": error.code or str(error.kind), "message": error.message}
        response = {**heads[0], "status": "failed", "error": found}
        number = max(numbers, default=-1) + 1
        data = msgspec.json.encode({"type": "response.failed", "sequence_number": number, "response": response})
        return b"event: response.failed\ndata: " + data + b"\n\n"


def _read(piece: bytes) -> list[_Numbered]:
    """Reads what is possible: the events passed through unvalidated."""
    parser, found = Parser(), []
    for event in (*parser.feed(piece), *parser.close()):
        try:
            found.append(_EVENTS.decode(event.data))
        except MALFORMED:
            continue
    return found

"""Completes a stream whose bytes pass through: makes sure that it ends with a final event."""

from __future__ import annotations

from adapters.anthropic.error_body import encode_error_event
from adapters.contract import Context, Envelope
from adapters.errors import GatewayError

_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class PassedEvents:
    """Keeps the last piece, and only parses it at the end of the stream."""

    __slots__ = ("_last",)

    def __init__(self, envelope: Envelope, context: Context) -> None:
        self._last = b""

    def passed(self, piece: bytes) -> None:
        """Notes complete events as they are sent."""
        self._last = piece

    def end(self) -> bytes:
        """Returns `message_stop` if the provider ended a complete answer without it: several programs wait for it."""
        last = self._last.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n").rpartition(b"\n\n")[2]
        return b"" if b"event: message_stop" in last or b'"type":"message_stop"' in last.replace(b" ", b"") else _STOP

    def failed(self, error: GatewayError, request_id: str) -> bytes:
        return encode_error_event(error, request_id)

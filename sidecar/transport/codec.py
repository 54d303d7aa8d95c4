"""The interface between a connection and an HTTP/2 codec: bytes in, calls of a Sink out; answers in, bytes out.

No I/O, no clock, no tasks. The only implementation is `sidecar.transport.httpunk_codec`, which hides its library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol


class Reason(IntEnum):
    """The error codes of RFC 9113, section 7, that we send."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    CANCEL = 8
    ENHANCE_YOUR_CALM = 11


class Head(NamedTuple):
    """The head of a request, after the codec has checked it by RFC 9113, sections 8.2 and 8.3."""

    method: str
    path: str | None
    headers: list[tuple[bytes, bytes]]
    """In their order, with names in lower case and without pseudo-headers."""


class StreamGone(Exception):
    """The peer reset the stream or the connection is lost, so nothing can be sent."""


class ConnectionFault(Exception):
    """The peer violated the protocol. The GOAWAY with the reason is in the pending bytes; nothing else will be
    read."""


class Stream(Protocol):
    """What a codec needs to know about the sink's stream object. The codec sets `id` when the stream opens."""

    id: int


class Sink(Protocol):
    """What a connection does with what its peer sends. Called during `Codec.receive`, in the order of frames."""

    def new_stream(self) -> Any:
        """Returns an object for a stream that may open; it is discarded if the stream does not."""

    def opened(self, stream: Any, head: Head, ended: bool) -> None: ...

    def arrived(self, stream: Any, data: bytes, ended: bool) -> None:
        """A piece of the request's body, possibly empty. Call `Codec.release` once it is consumed."""

    def stopped(self, stream: Any) -> None:
        """The peer reset the stream, or the connection is lost. No further calls for this stream."""

    def writable(self, stream: Any) -> None:
        """A write that was not accepted may be accepted now."""

    def to_send(self) -> None:
        """There are bytes to send."""

    def finished(self) -> None:
        """All streams of a draining connection have ended: send what is pending, then close."""


class Codec(Protocol):
    """The server side of one connection. The result of `headers` can be sent many times."""

    @property
    def settled(self) -> bool:
        """Whether the peer's preface and first settings have arrived."""

    @property
    def draining(self) -> bool: ...

    def begin(self) -> None:
        """Makes our settings pending."""

    def receive(self, data: bytes) -> None:
        """Processes bytes from the peer. Raises ConnectionFault."""

    def headers(self, pairs: Sequence[tuple[str, bytes]]) -> Any:
        """Encodes headers. Raises ValueError for a name or value that HTTP does not allow."""

    def respond(self, stream_id: int, status: int, headers: Any, *, end: bool) -> None:
        """Sends the head of an answer. Raises StreamGone."""

    def write(self, stream_id: int, data: bytes, offset: int) -> int:
        """Returns how many bytes from `offset` on were accepted; if 0, wait for `Sink.writable`. Raises StreamGone."""

    def trailers(self, stream_id: int, headers: Any) -> None:
        """Ends the stream. Whatever has not arrived of the request is not needed any more. Raises StreamGone."""

    def reset(self, stream_id: int, reason: Reason) -> None: ...

    def release(self, stream_id: int, size: int) -> None:
        """Lets the peer send as many bytes again."""

    def drain(self) -> None:
        """Sends GOAWAY in two steps: streams that the peer opens before it has seen the first one are served."""

    def go_away(self, reason: Reason) -> None:
        """Sends GOAWAY at once, without ending running streams."""

    def lost(self) -> None:
        """The connection is gone: stops all streams."""

    def pending(self) -> bytes:
        """Returns the bytes to send; empty if there are none."""

    def sent(self) -> Iterable[Any]:
        """Called after `pending` was handed to the socket. Returns the streams that have room again."""

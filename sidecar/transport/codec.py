"""What a connection needs of an HTTP/2 codec: bytes in, calls of a sink out; answers in, bytes out. No I/O, no clock, no task.

`sidecar.transport.httpunk_codec` is the one there is. All that is particular to its library stays in that file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Protocol


class Reason(IntEnum):
    """Error codes of RFC 9113, section 7, that we send."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    CANCEL = 8
    ENHANCE_YOUR_CALM = 11


class Head(NamedTuple):
    """A request's, after the codec has checked it by RFC 9113, sections 8.2 and 8.3."""

    method: str
    path: str | None
    headers: list[tuple[bytes, bytes]]
    """In their order, names in lower case, without the pseudo-headers."""


class StreamGone(Exception):
    """The peer reset the stream, or its connection is lost: nothing can be sent on it."""


class ConnectionFault(Exception):
    """The peer broke the protocol. The GOAWAY that says so is among the bytes to send; nothing else will be read."""


class Stream(Protocol):
    """What a codec knows of the sink's own object for a stream. The codec sets `id` when it opens."""

    id: int


class Sink(Protocol):
    """What a connection does with what its peer sends. Called while `Codec.receive` runs, in the order of the frames."""

    def new_stream(self) -> Any:
        """An object for a stream that may open; dropped if it does not."""

    def opened(self, stream: Any, head: Head, ended: bool) -> None: ...

    def arrived(self, stream: Any, data: bytes, ended: bool) -> None:
        """A piece of the request's body, possibly empty. Say `Codec.release` once it is taken."""

    def stopped(self, stream: Any) -> None:
        """The peer reset the stream, or the connection is lost. Nothing more comes of it."""

    def writable(self, stream: Any) -> None:
        """A write that took nothing may take something now."""

    def to_send(self) -> None:
        """There are bytes to send."""

    def finished(self) -> None:
        """All streams of a connection that drains have ended: send what there is, and close."""


class Codec(Protocol):
    """One connection, server side. `headers` are made once and may be sent many times."""

    @property
    def settled(self) -> bool:
        """The peer's preface and first settings have come."""

    @property
    def draining(self) -> bool: ...

    def begin(self) -> None:
        """Our settings are to be sent."""

    def receive(self, data: bytes) -> None:
        """Raises ConnectionFault."""

    def headers(self, pairs: Sequence[tuple[str, bytes]]) -> Any:
        """Raises ValueError for a name or a value that HTTP does not allow."""

    def respond(self, stream_id: int, status: int, headers: Any, *, end: bool) -> None:
        """Raises StreamGone."""

    def write(self, stream_id: int, data: bytes, offset: int) -> int:
        """How many bytes from `offset` on were taken; 0: wait for `Sink.writable`. Raises StreamGone."""

    def trailers(self, stream_id: int, headers: Any) -> None:
        """Ends the stream. What has not come of the request is not asked for any more. Raises StreamGone."""

    def reset(self, stream_id: int, reason: Reason) -> None: ...

    def release(self, stream_id: int, size: int) -> None:
        """Lets the peer send as much again."""

    def drain(self) -> None:
        """GOAWAY in two steps: streams that the peer opens before it has seen the first are served."""

    def go_away(self, reason: Reason) -> None:
        """At once; streams under way are not ended by it."""

    def lost(self) -> None:
        """The connection is gone: every stream is stopped."""

    def pending(self) -> bytes:
        """What is to be sent; empty where nothing is."""

    def sent(self) -> Iterable[Any]:
        """After `pending` was handed to the socket: the streams that have room again."""

"""Implements Codec with httpunk's HTTP/2 state machine (hyper's h2, in Rust).

`H2Streams` is a complete connection without I/O. The library's own driver adds two tasks, two events and a queue per
stream, and learns of a reset through an event. Used directly it costs a tenth, and a reset cancels its call in the
same turn of the loop. The class is in the library's published stubs but not in its documentation, so the version is
pinned and `tests/transport/test_traps.py` verifies what we rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from httpunk._httpunk import (
    H2_FLAG_CAPACITY,
    H2_FLAG_CONN_DONE,
    H2_FLAG_STOP_ACCEPTING,
    H2_FLAG_WAKE,
    H2_HEADERS_OPENED,
    H2_HEADERS_TRAILERS,
    H2Error,
    H2FrameData,
    H2FrameGoAway,
    H2FrameHeaders,
    H2FramePing,
    H2FrameRstStream,
    H2FrameSettings,
    H2FrameStreamError,
    H2FrameWindowUpdate,
    H2StreamError,
    H2Streams,
    HeaderMap,
)

from sidecar.transport.codec import ConnectionFault, Head, Reason, Sink, StreamGone
from sidecar.transport.limits import Limits

# The minimum of RFC 9113, so that a large body does not delay small answers.
_FRAME_BYTES = 16 * 1024
# The library counts these over the life of a connection and ends it at the limit, 1,024 by default. Frames that are
# in flight when we answer early (deadline passed, message too large) count. Our connections have a maximum age
# instead.
_LOCAL_RESETS_MAX = 1 << 20


class HttpunkCodec:
    """See Codec. After a ConnectionFault only `pending`, `lost` and `sent` may be called."""

    __slots__ = ("_newest", "_settled", "_sink", "_state")

    def __init__(self, sink: Sink, limits: Limits) -> None:
        self._sink: Final = sink
        self._settled = False
        self._newest = 0  # stream ID of the newest request
        self._state: Final = H2Streams(
            "server",
            initial_window_size=limits.stream_window_bytes,
            connection_window=limits.connection_window_bytes,
            max_frame_size=_FRAME_BYTES,
            max_header_list_size=limits.codec_metadata_bytes,
            max_send_buf_size=limits.send_buffer_bytes,
            max_concurrent_streams=limits.streams,
            # Streams that were reset before we accepted them. We accept in the same turn, and FrameMeter counts
            # resets.
            max_pending_accept_reset_streams=limits.streams,
            max_local_error_reset_streams=_LOCAL_RESETS_MAX,
            auto_date_header=False,
        )

    @property
    def settled(self) -> bool:
        return self._settled

    @property
    def draining(self) -> bool:
        return self._state.graceful

    def begin(self) -> None:
        self._state.begin()
        self._sink.to_send()

    def receive(self, data: bytes) -> None:
        state = self._state
        try:
            for frame in state.receive(data):
                try:
                    self._dispatch(frame)
                except H2StreamError as error:
                    self._broken(error)
            self._after(state.maybe_goaway_reply())
        except H2Error as error:
            reason = error.args[0] if error.args and isinstance(error.args[0], int) else Reason.PROTOCOL_ERROR
            self._after(state.send_goaway(int(reason)))
            raise ConnectionFault(str(error)) from None

    def _dispatch(self, frame: Any) -> None:
        state = self._state
        kind = type(frame)
        if kind is H2FrameHeaders:
            self._headers(frame)
        elif kind is H2FrameData:
            verdict = state.recv_data(frame)
            if verdict.flags:
                self._after(verdict.flags)
            stream = verdict.handle
            if stream is not None and (verdict.payload is not None or verdict.eof):
                payload = verdict.payload or b""
                if verdict.budgeted:
                    state.release_data_frame(stream.id, len(payload))  # type: ignore[attr-defined]
                self._sink.arrived(stream, payload, verdict.eof)
        elif kind is H2FrameWindowUpdate:
            if self._is_too_late(frame.stream_id):
                return
            for stream in state.recv_window_update(frame):
                self._sink.writable(stream)
        elif kind is H2FrameRstStream:
            if self._is_too_late(frame.stream_id):
                return
            found = state.recv_reset(frame)
            if found is not None:
                self._sink.stopped(found[0])
                self._after(found[3])
        elif kind is H2FrameSettings:
            self._settled = self._settled or not frame.ack
            _, streams, flags = state.recv_settings(frame)
            for stream in streams:
                self._sink.writable(stream)
            self._after(flags)
        elif kind is H2FramePing:
            self._after(state.recv_ping(frame))
        elif kind is H2FrameGoAway:
            aborted, flags = state.recv_go_away(frame)
            for stream, _ in aborted:
                self._sink.stopped(stream)
            self._after(flags)
        elif kind is H2FrameStreamError:
            self._reset_broken(frame.stream_id, frame.error_code)

    def _is_too_late(self, stream_id: int) -> bool:
        """Whether the frame is for a request that crossed our last GOAWAY. The library ignores such requests and then
        takes these frames for a protocol error, which would end the calls in progress. RFC 9113, section 6.8."""
        return self._state.graceful and stream_id > self._newest

    def _headers(self, frame: Any) -> None:
        stream = self._sink.new_stream()
        verdict = self._state.recv_headers(frame, stream)
        if verdict.flags:
            self._after(verdict.flags)
        if verdict.kind == H2_HEADERS_OPENED:
            stream.id = self._newest = verdict.stream_id
            self._state.accepted(verdict.stream_id)
            if _malformed(frame):
                self.reset(stream.id, Reason.PROTOCOL_ERROR)
                return
            self._sink.opened(stream, Head(frame.method, frame.path, frame.headers.raw_items()), verdict.eof)
        elif verdict.kind == H2_HEADERS_TRAILERS:
            self._sink.arrived(verdict.handle, b"", True)

    def _broken(self, error: H2StreamError) -> None:
        """Resets a stream that violated the protocol; its connection continues. A reset by the peer is not
        answered."""
        if error.args[2] != "remote":
            self._reset_broken(error.args[0], error.args[1])

    def _reset_broken(self, stream_id: int, reason: int) -> None:
        verdict = self._state.reset_on_error(stream_id, reason)
        self._after(verdict.flags)
        if verdict.handle is not None:
            self._sink.stopped(verdict.handle)

    def _after(self, flags: int) -> None:
        if not flags:
            return
        if flags & H2_FLAG_WAKE:
            self._sink.to_send()
        if flags & H2_FLAG_CAPACITY:
            stream = self._state.next_capacity_wake()
            if stream is not None:
                self._sink.writable(stream)
        if flags & (H2_FLAG_CONN_DONE | H2_FLAG_STOP_ACCEPTING):
            self._sink.finished()

    def headers(self, pairs: Sequence[tuple[str, bytes]]) -> HeaderMap:
        return HeaderMap(pairs)

    def respond(self, stream_id: int, status: int, headers: HeaderMap, *, end: bool) -> None:
        self._sent(self._state.send_response_head(stream_id, status, headers, end))

    def write(self, stream_id: int, data: bytes, offset: int) -> int:
        start = offset
        while True:
            verdict = self._state.send_data(stream_id, data, offset, False)
            self._sent(verdict)
            offset += verdict.sent
            if verdict.done or not verdict.sent:
                return offset - start

    def trailers(self, stream_id: int, headers: HeaderMap) -> None:
        self._sent(self._state.send_trailers(stream_id, headers))

    def _sent(self, verdict: Any) -> None:
        if verdict.stopped is not None:
            raise StreamGone
        if verdict.flags:
            self._after(verdict.flags)

    def reset(self, stream_id: int, reason: Reason) -> None:
        self._after(self._state.reset_stream(stream_id, int(reason), "user").flags)

    def release(self, stream_id: int, size: int) -> None:
        self._after(self._state.release_capacity(stream_id, size))

    def drain(self) -> None:
        self._after(self._state.begin_graceful_shutdown())

    def go_away(self, reason: Reason) -> None:
        self._after(self._state.send_goaway(int(reason)))

    def lost(self) -> None:
        for stream, _ in self._state.fail(None):
            self._sink.stopped(stream)

    def pending(self) -> bytes:
        if not self._state.has_pending():
            return b""
        view, _ = self._state.take_pending()
        try:
            return bytes(view)  # the view is the library's buffer, and the socket may keep what it is given
        finally:
            view.release()

    def sent(self) -> list[Any]:
        return self._state.credit_written()


def _malformed(frame: Any) -> bool:
    """RFC 9113, section 8.3.1: a request has these three pseudo-headers (CONNECT only the method) and no status.
    The library checks the rest of that section."""
    if frame.status is not None or not frame.method:
        return True
    return frame.method != "CONNECT" and not (frame.scheme and frame.path)

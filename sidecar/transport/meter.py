"""Counts a connection's frames before the codec spends time on them.

The codec bounds one block of headers and one window, but has no clock: a million valid pings are as acceptable to it
as one. This reads nine bytes of each frame, in 0.3 µs, and skips the bodies.
"""

from __future__ import annotations

from sidecar.transport.codec import Reason
from sidecar.transport.limits import Limits

_HEAD_BYTES = 9
_PREFACE_BYTES = 24
_HEADERS, _RST_STREAM, _SETTINGS, _PING, _CONTINUATION = 1, 3, 4, 6, 9
_ACK = 1
_OVERSIZED_MAX = 100
_ID = 0x7FFFFFFF


class Breach(Exception):
    """Ends a connection before the codec sees the frame. The message gives the reason."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class FrameMeter:
    """Feed it everything that the codec gets, before the codec."""

    __slots__ = (
        "_all",
        "_begun",
        "_block_bytes",
        "_block_of",
        "_counts",
        "_limits",
        "_maxima",
        "_rest",
        "_since",
        "_skip",
        "oversized",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._maxima = {
            _RST_STREAM: (limits.resets_per_s, "RST_STREAM"),
            _SETTINGS: (limits.settings_per_s, "SETTINGS"),
            _PING: (limits.pings_per_s, "PING"),
            _CONTINUATION: (limits.continuations_per_s, "CONTINUATION"),
        }
        self._counts: dict[int, int] = {}
        self._all = 0
        self._begun = False
        self._since = 0.0
        self._skip = _PREFACE_BYTES  # bytes to skip before the next frame
        self._rest = b""  # the beginning of a frame header that was split
        self._block_of = 0
        self._block_bytes = 0
        self.oversized: set[int] = set()
        """Streams whose block of headers is longer on the wire than metadata may be. The codec drops a header that is too large
        for it and says nothing; such a header is too long here, or what it kept is."""

    def count(self, data: bytes, now: float) -> None:
        """Counts the frames in `data`. Raises Breach for more frames of a kind per second than any client needs,
        and for a first frame other than SETTINGS (RFC 9113, section 3.4), which the codec would wait for
        indefinitely."""
        if now - self._since >= 1.0:
            self._since, self._all = now, 0
            self._counts.clear()
        at = self._skip
        if self._rest:
            data, self._rest = self._rest + data, b""
        end = len(data) - _HEAD_BYTES
        while at <= end:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            kind = data[at + 3]
            if not self._begun:
                self._begun = True
                if kind != _SETTINGS or data[at + 4] & _ACK:
                    raise Breach(Reason.PROTOCOL_ERROR, "The first frame is not SETTINGS.")
            self._all += 1
            if kind in (_HEADERS, _CONTINUATION):
                self._block(kind, int.from_bytes(data[at + 5 : at + 9], "big") & _ID, length)
            if kind in self._maxima:
                self._counted(kind)
            at += _HEAD_BYTES + length
        if self._all > self._limits.frames_per_s:
            raise Breach(Reason.ENHANCE_YOUR_CALM, f"More than {self._limits.frames_per_s} frames per second.")
        if at < len(data):
            self._rest, self._skip = data[at:], 0
        else:
            self._skip = at - len(data)

    def _block(self, kind: int, stream_id: int, length: int) -> None:
        if kind == _HEADERS:
            self._block_of, self._block_bytes = stream_id, length
        else:
            self._block_bytes += length
        if self._block_bytes > self._limits.metadata_bytes:
            self.oversized.add(self._block_of)
            if len(self.oversized) > _OVERSIZED_MAX:  # of streams that do not open
                raise Breach(Reason.ENHANCE_YOUR_CALM, "Too many requests with metadata that is too large.")

    def _counted(self, kind: int) -> None:
        count = self._counts.get(kind, 0) + 1
        self._counts[kind] = count
        most, name = self._maxima[kind]
        if count > most:
            raise Breach(Reason.ENHANCE_YOUR_CALM, f"More than {most} {name} frames per second.")

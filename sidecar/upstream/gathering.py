"""Reads pieces that arrive in quick succession together.

A fast provider sends every token separately, a thousand per second and more, and reading, checking and forwarding a
piece costs much the same however small it is: in the gateway, in the front and in the client. So if two reads of a
stream are closer than FAST_S, the stream rests: its bytes collect in the kernel, and after GATHER_S all resting
streams are read at once. Slower streams are read as data arrives, and so is the first output of each, since users
wait for that.

Network cards do the same under the name of interrupt moderation.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

# Longest time that a piece may wait in the kernel: 200 pieces per second, more than any screen shows.
GATHER_S = 0.005
# Reads closer than this mean that pieces arrive faster than they would be forwarded. Above GATHER_S, so that a
# stream that was read at the end of its rest rests again.
FAST_S = 0.008
# A read of this size was worth its cost.
BULK_BYTES = 16 * 1024
# As much as a connection parses at once; the transport reads the rest.
_TAKEN_BYTES_MAX = 64 * 1024


class Gathering:
    """The resting streams of one event loop, with a single timer, so that all are read and written in the same
    turn."""

    __slots__ = ("_loop", "_resting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._resting: list[Rest] = []

    def rest(self, stream: Rest) -> None:
        """Wakes the stream after GATHER_S at the latest."""
        if not self._resting:
            self._loop.call_later(GATHER_S, self._over)
        self._resting.append(stream)

    def _over(self) -> None:
        resting, self._resting = self._resting, []
        for stream in resting:
            stream.wake()


class Rest:
    """The rest of one connection.

    `on`: input may wait for more.
    `now`: it does, and the socket must not be read.
    `still`: the transport is paused.
    `sock`: the socket that can be read without the transport; None with TLS.
    """

    __slots__ = ("_gathering", "_over", "_read_s", "now", "on", "sock", "still")

    def __init__(self, gathering: Gathering, over: Callable[[], None]) -> None:
        self._gathering = gathering
        self._over = over
        self._read_s = 0.0
        self.on = False
        self.now = False
        self.still = False
        self.sock: socket.socket | None = None

    def begins(self, size: int, now_s: float) -> bool:
        """Returns whether the socket rests after a read of `size` bytes. If so, `over` is called at the end of the
        rest."""
        fast = now_s - self._read_s < FAST_S
        self._read_s = now_s
        if fast and size < BULK_BYTES:
            self.now = True
            self._gathering.rest(self)
        return self.now

    def stop(self) -> bool:
        """Ends the rest with the answer. Returns whether the transport has to be resumed."""
        self.on = self.now = False
        return self.still

    def take(self) -> bytes:
        """Returns what arrived during the rest; b"" if nothing did, at the end, or if the transport has to report
        it. Raises OSError."""
        if self.sock is None or not self.still:
            return b""
        try:
            return self.sock.recv(_TAKEN_BYTES_MAX)
        except BlockingIOError:
            return b""

    def wake(self) -> None:
        if self.now:
            self.now = False
            self._over()

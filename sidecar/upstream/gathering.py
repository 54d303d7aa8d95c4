"""What comes in quick succession is read together.

A fast provider sends each token by itself, a thousand a second and more, and a piece costs much the same to read, check and pass
on however small it is: in the gateway, in the front and in the client. So a stream that was read twice within FAST_S rests:
its bytes collect in the kernel, and GATHER_S later all streams that rest are read at once. Streams that are slower than that
are read as they come, and so is the first output of each, because whoever reads streams begins with it.

The same idea in a network card is called interrupt moderation.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

# The longest time that a piece may lie in the kernel: 200 pieces a second, more than any screen shows or anybody reads.
GATHER_S = 0.005
# Two reads closer than this: pieces come faster than they would be passed on. Above GATHER_S, so that a stream that was read
# at the end of its rest rests again.
FAST_S = 0.008
# A read of so much was worth its cost.
BULK_BYTES = 16 * 1024
# As much as a connection parses at once; what is left, the transport reads.
_TAKEN_BYTES_MAX = 64 * 1024


class Gathering:
    """The streams of one loop that rest: one timer for all of them, so that they are read, and written, in the same turn."""

    __slots__ = ("_loop", "_resting")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._resting: list[Rest] = []

    def rest(self, stream: Rest) -> None:
        """It is woken in GATHER_S at the latest."""
        if not self._resting:
            self._loop.call_later(GATHER_S, self._over)
        self._resting.append(stream)

    def _over(self) -> None:
        resting, self._resting = self._resting, []
        for stream in resting:
            stream.wake()


class Rest:
    """Of one connection. `on`: what comes may wait for more. `now`: it does, and the socket is not to be read. `still`: its
    transport does not read it. `sock`: what can be read without the transport, so not with TLS."""

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
        """After a read of so many bytes: whether the socket is to rest. Then `over` is called at its end."""
        fast = now_s - self._read_s < FAST_S
        self._read_s = now_s
        if fast and size < BULK_BYTES:
            self.now = True
            self._gathering.rest(self)
        return self.now

    def stop(self) -> bool:
        """The answer has ended. Whether its transport is to read again."""
        self.on = self.now = False
        return self.still

    def take(self) -> bytes:
        """What came during the rest; b"": nothing, the end, or the transport has to tell. Raises OSError where it broke."""
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

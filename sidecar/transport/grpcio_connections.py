"""A worker's TCP connections, which gRPC keeps to itself: found among its descriptors, for what gRPC has no function for.

gRPC closes a connection as soon as its last stream after a GOAWAY has ended. What the client's kernel has not taken by then
lies in ours, and the next thing the client says (a ping, a window update) is answered with a reset that throws it away: the
client sees streams that were served to their end as "UNAVAILABLE: Stream removed (recvmsg:Connection reset by peer ...". Unix
sockets hand over as they send and know nothing of this.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress

# Sends at once what the window allows. BBR, the default of many systems, spreads it out by a timer.
_UNPACED = b"reno"
# A client that takes nothing for so long is not waited for any longer, within the grace of the drain.
_TAKEN_S = 10.0
_TAKEN_POLL_S = 0.005


def stop_accepting() -> None:
    """Ends this process's TCP listeners, which share their port with the other workers'. The front and the local gRPC socket need
    nothing of the kind: their symlinks point elsewhere by now. gRPC itself can only stop listening and serving at once."""
    for each in _tcp_sockets():
        with suppress(OSError):  # closed meanwhile
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                each.shutdown(socket.SHUT_RD)


def send_unpaced() -> None:
    """Call it between binding and serving: connections inherit it from their listener. Of a paced connection the ends of streams
    may still be in the queue when gRPC closes it. The local gRPC port is on loopback, where there is nothing to pace for."""
    for each in _tcp_sockets():
        with suppress(OSError):  # a system without it sends as it does
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _UNPACED)


async def taken(peer: str) -> None:
    """Returns once the kernel of a client has all that was sent to it, after _TAKEN_S at the latest. `peer` is gRPC's name for
    it: "ipv4:127.0.0.1:40000"."""
    port = peer.rpartition(":")[2]
    if not peer.startswith("ipv") or not port.isdigit():
        return
    loop = asyncio.get_running_loop()
    end_s = loop.time() + _TAKEN_S
    while loop.time() < end_s:
        await asyncio.sleep(_TAKEN_POLL_S)  # first of all: what was written last may be on its way to the kernel
        if not _untaken_bytes(int(port)):
            return


def _untaken_bytes(port: int) -> int:
    """In the send queue of the connection to this port of a client."""
    for each in _tcp_sockets():
        with suppress(OSError):  # a listener, or closed meanwhile
            if each.getpeername()[1] == port:
                return int.from_bytes(fcntl.ioctl(each, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0


def _tcp_sockets() -> Iterator[socket.socket]:
    """This process's, each as a duplicate that is closed when the next one is taken."""
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as each:
                if each.family in (socket.AF_INET, socket.AF_INET6):
                    yield each
        except OSError:  # no socket, or closed meanwhile
            continue

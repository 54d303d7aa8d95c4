"""Finds a worker's TCP connections among its descriptors, for operations that grpcio offers no function for.

grpcio closes a connection as soon as its last stream after a GOAWAY has ended. What the client's kernel has not
taken by then is still in ours, and the client's next packet (a ping, a window update) is answered with a reset that
discards it: the client sees streams that were served completely as "UNAVAILABLE: Stream removed (recvmsg:Connection
reset by peer ...". Unix sockets deliver as they send, so they are not affected.
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

# Sends at once whatever the window allows. BBR, the default of many systems, spreads it out with a timer.
_UNPACED = b"reno"
# How long a client that takes nothing is waited for, within the grace of the drain.
_TAKEN_S = 10.0
_TAKEN_POLL_S = 0.005


def stop_accepting() -> None:
    """Stops listening on this process's TCP ports, which it shares with the other workers. The front socket and the
    local gRPC socket do not need this, because their symlinks point elsewhere by now. grpcio can only stop
    listening and serving at once."""
    for each in _tcp_sockets():
        with suppress(OSError):  # closed in the meantime
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                each.shutdown(socket.SHUT_RD)


def send_unpaced() -> None:
    """Turns pacing off. Call it between binding and serving: connections inherit it from their listener. With
    pacing, the end of a stream may still be queued when grpcio closes the connection. The local gRPC port is on
    loopback, where pacing has no use."""
    for each in _tcp_sockets():
        with suppress(OSError):  # not available on this system
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _UNPACED)


async def taken(peer: str) -> None:
    """Returns once the client's kernel has received everything, after _TAKEN_S at the latest. `peer` is gRPC's name
    for the client: "ipv4:127.0.0.1:40000"."""
    port = peer.rpartition(":")[2]
    if not peer.startswith("ipv") or not port.isdigit():
        return
    loop = asyncio.get_running_loop()
    end_s = loop.time() + _TAKEN_S
    while loop.time() < end_s:
        await asyncio.sleep(_TAKEN_POLL_S)  # first, because what was written last may not have reached the kernel yet
        if not _untaken_bytes(int(port)):
            return


def _untaken_bytes(port: int) -> int:
    """Bytes in the send queue of the connection to this client port."""
    for each in _tcp_sockets():
        with suppress(OSError):  # a listener, or closed in the meantime
            if each.getpeername()[1] == port:
                return int.from_bytes(fcntl.ioctl(each, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return 0


def _tcp_sockets() -> Iterator[socket.socket]:
    """Yields this process's TCP sockets, each as a duplicate that is closed when the next one is yielded."""
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as each:
                if each.family in (socket.AF_INET, socket.AF_INET6):
                    yield each
        except OSError:  # not a socket, or closed in the meantime
            continue

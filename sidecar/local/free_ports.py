"""Ports for listeners that another process binds a little later.

Port 0 would not do: the kernel picks such a port from the range that it also uses for outgoing connections, one of
which may have it by the time it is bound. So ports come from below that range, where only listeners are.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000  # well-known services are below
# Even if half of the ports were taken, this many attempts would fail once in a billion times.
_PROBES_MAX = 30


def free_port(host: str = "127.0.0.1") -> int:
    """Returns a TCP port that is unbound on the host's address now. Raises OSError if there is none."""
    for port in _candidates():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.bind((host, port))
            except OSError:
                if port == 0:
                    raise
                continue
            chosen: int = sock.getsockname()[1]
            return chosen
    raise AssertionError("the last candidate is 0, which is free or raises")


def _candidates() -> Iterator[int]:
    try:
        end = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        end = 0
    if end - _LOWEST > _PROBES_MAX:
        yield from random.sample(range(_LOWEST, end), _PROBES_MAX)
    yield 0

"""HTTP to providers. No other package talks to them.

    client = UpstreamClient()
    response = await client.open(call, upstream, headers, timeouts)  # its head has arrived
    try:
        while data := await response.read_some():
            ...
    finally:
        response.close()

An HTTP/1.1 client on asyncio's transports (decision 0003). `parser` and `head` read answers strictly and without
I/O, `connection` is one socket, `dial` opens connections, `pool` keeps them, and `client` decides what is sent
again.
"""

from sidecar.upstream.address import host_of
from sidecar.upstream.client import UpstreamClient, UpstreamResponse, read_failure
from sidecar.upstream.failures import explain, internal_failure, printable
from sidecar.upstream.time_limit import TimeLimit, held_time

__all__ = [
    "TimeLimit",
    "UpstreamClient",
    "UpstreamResponse",
    "explain",
    "held_time",
    "host_of",
    "internal_failure",
    "printable",
    "read_failure",
]

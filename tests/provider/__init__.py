"""A loopback LLM provider with faults: a real HTTP/1.1 server in a thread of its own, for sync and async tests alike.

    with Provider() as provider:                 # or `async with`
        provider.script = lambda call: error_reply(call, 429, "slow down")
        ...point an upstream at provider.base_url...
        provider.wait_for(lambda p: p.calls and p.calls[0].outcome == "peer_closed")

A script that returns None, or none at all, gives the healthy answer of the path. Async tests: `await provider.until(...)`.

Out of process: `python -m tests.provider --port P`, faults chosen by the request (tests/provider/faults.py), record at
GET /_sim/calls, gates opened by POST /_sim/release?gate=NAME, all of it forgotten by POST /_sim/reset.
"""

from __future__ import annotations

from tests.provider.defaults import default_reply, error_reply
from tests.provider.record import Call, Connection, Sent
from tests.provider.reply import End, Framing, Gate, Pause, Reply, data, event, json_reply, sse_reply
from tests.provider.simulator import Provider

__all__ = [
    "Call",
    "Connection",
    "End",
    "Framing",
    "Gate",
    "Pause",
    "Provider",
    "Reply",
    "Sent",
    "data",
    "default_reply",
    "error_reply",
    "event",
    "json_reply",
    "sse_reply",
]

"""The record of what the simulated provider received and sent. Times are time.monotonic() seconds, the test's own
clock."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Connection:
    """One TCP connection. `closed_by` is "peer" (FIN or RST from the gateway) or "provider", None while it is open."""

    id: int
    opened_s: float
    closed_s: float | None = None
    closed_by: str | None = None
    calls: int = 0

    @property
    def is_open(self) -> bool:
        return self.closed_s is None


@dataclass(frozen=True, slots=True)
class Sent:
    """One part of a body written to the socket: its index among the reply's parts, the time, and the number of
    bytes."""

    index: int
    at_s: float
    size_bytes: int


@dataclass(slots=True)
class Call:
    """One request and how far its reply got.

    `outcome` is None while the reply is going on, then "finished", or the fault that was played ("cut", "rst", "stall",
    "garbage", "half_close"), or "peer_closed" when the gateway left first; then `peer_closed_s` says when.
    A stalled reply becomes "peer_closed" once the gateway gives up.
    """

    id: int
    connection: Connection
    received_s: float
    method: str
    target: str
    header_list: list[tuple[str, str]]
    body: bytes
    head_sent_s: float | None = None
    sent: list[Sent] = field(default_factory=list)
    ended_s: float | None = None
    outcome: str | None = None
    peer_closed_s: float | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def headers(self) -> dict[str, str]:
        """Headers with names in lower case; the last value of a repeated header."""
        return dict(self.header_list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str:
        """The credential of the call, "" if none."""
        headers = self.headers
        return (
            headers.get("x-api-key")
            or headers.get("api-key")
            or headers.get("authorization", "").removeprefix("Bearer ")
        )

    def as_dict(self) -> dict[str, Any]:
        """The record for GET /_sim/calls. `body` is base64."""
        return {
            "id": self.id,
            "connection": self.connection.id,
            "connection_closed_s": self.connection.closed_s,
            "connection_closed_by": self.connection.closed_by,
            "received_s": self.received_s,
            "method": self.method,
            "target": self.target,
            "headers": self.header_list,
            "body": base64.b64encode(self.body).decode("ascii"),
            "head_sent_s": self.head_sent_s,
            "sent": [[part.index, part.at_s, part.size_bytes] for part in self.sent],
            "ended_s": self.ended_s,
            "outcome": self.outcome,
            "peer_closed_s": self.peer_closed_s,
        }

"""Who makes a call, independent of the service that it came through."""

from __future__ import annotations

from typing import NamedTuple

LOCAL_CONSUMER = "local"


class Caller(NamedTuple):
    """The caller of one call. `deadline` is in event loop time; None if the caller set none."""

    user: str  # the front's user, or "local"
    local: bool  # came through the local gRPC port or socket; a user of the front may be called "local" too
    request_id: str
    deadline: float | None

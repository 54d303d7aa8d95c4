"""Who makes a call, whichever service it came by."""

from __future__ import annotations

from typing import NamedTuple

LOCAL_CONSUMER = "local"


class Caller(NamedTuple):
    """One call's caller. `deadline` is on the event loop's clock, None where the caller set none."""

    user: str  # the front's user, or "local"
    local: bool  # came by the local gRPC port or socket; a front user may be called "local" too
    request_id: str
    deadline: float | None

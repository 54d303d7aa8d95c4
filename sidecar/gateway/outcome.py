"""How a call or an attempt ended: a metric label."""

from __future__ import annotations

import asyncio
from typing import Final

from adapters import GatewayError, Kind

OK: Final = "ok"
# Our own timer and the caller's deadline ring together; a cancellation this close to the deadline is the deadline.
DEADLINE_SLACK_S = 0.05


def outcome_of(error: BaseException, deadline: float | None) -> str:
    """`deadline` is the caller's, on the loop's clock: a cancellation at that time is a timeout."""
    match error:
        case GatewayError():
            return error.kind.value
        case asyncio.CancelledError() | GeneratorExit():
            late = deadline is not None and asyncio.get_running_loop().time() >= deadline - DEADLINE_SLACK_S
            return (Kind.UPSTREAM_TIMEOUT if late else Kind.CANCELLED).value
        case _:
            return Kind.INTERNAL.value

"""How a call or an attempt ended, as a metric label."""

from __future__ import annotations

import asyncio
from typing import Final

from adapters import GatewayError, Kind

OK: Final = "ok"
# Our timer and the caller's deadline fire together, so a cancellation this close to the deadline is a timeout.
DEADLINE_SLACK_S = 0.05


def outcome_of(error: BaseException, deadline: float | None) -> str:
    """Classifies `error`. `deadline` is the caller's, in event loop time; a cancellation at that time counts as a
    timeout."""
    match error:
        case GatewayError():
            return error.kind.value
        case asyncio.CancelledError() | GeneratorExit():
            late = deadline is not None and asyncio.get_running_loop().time() >= deadline - DEADLINE_SLACK_S
            return (Kind.UPSTREAM_TIMEOUT if late else Kind.CANCELLED).value
        case _:
            return Kind.INTERNAL.value

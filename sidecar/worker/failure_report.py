"""Reports failures of upstreams to the supervisor, at most once a second."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from sidecar.control.channel import Channel, UpstreamFailures
from sidecar.gateway.failure_log import FailureLog

_PAUSE_S = 1.0


async def report_failures(channel: Channel, failures: FailureLog) -> NoReturn:
    """Runs until it is cancelled. While the supervisor does not read, only the newest failure of each upstream is
    kept."""
    while True:
        await asyncio.sleep(_PAUSE_S)
        if failures.news and channel.send_if_read(UpstreamFailures(dict(failures.news))):
            failures.news.clear()

"""Logs why attempts fail: one warning per attempt, at a bounded rate.

    upstream openai of route chat (api.openai.com) failed after 0.02 s, tls: self-signed certificate (18). [upstream_unavailable,
    request 5f0c...]

The caller's error may be less specific. Neither contains a key, a prompt or an answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

from adapters import GatewayError, Kind
from sidecar.domain.gateway_status import UpstreamFailure
from sidecar.upstream import explain, host_of, printable

log = logging.getLogger(__name__)

# Lines per second for one upstream, so that it cannot crowd out the others, and for all. A line is about 200 bytes.
_LINES_A_SECOND = 5
_LINES_A_SECOND_ALL = 50
# Upstreams with a failure that waits to be reported, which happens once a second.
_NEWS_MAX = 500
# A provider's message about an invalid request goes to the caller but not to the log, because it may quote the prompt.
_THE_REQUESTS_FAULT = frozenset(
    {
        Kind.INVALID_REQUEST,
        Kind.CONTEXT_LENGTH_EXCEEDED,
        Kind.UNSUPPORTED_PARAMETER,
        Kind.CONTENT_FILTERED,
        Kind.REQUEST_TOO_LARGE,
    }
)


class FailureLog:
    """The failure log of one event loop.

    `news` holds the newest failure per route and upstream until the reporter takes it; beyond _NEWS_MAX upstreams,
    failures are dropped.
    """

    def __init__(self) -> None:
        self.news: dict[tuple[str, str], UpstreamFailure] = {}
        self._written: Counter[tuple[str, str]] = Counter()  # lines in the current second, per route and upstream
        self._left_out: Counter[tuple[str, str]] = Counter()

    def add(
        self,
        error: GatewayError,
        *,
        route: str,
        upstream: str,
        url: str,
        request_id: str,
        after_s: float,
        note: str = "",
    ) -> None:
        """Logs a failed attempt. `error` is the error as the caller may see it, with its causes; `url` is where the
        request went; `note` adds to the cause."""
        if error.kind in _THE_REQUESTS_FAULT:
            return
        if not self._written:
            asyncio.get_running_loop().call_later(1.0, self._next_second)
        where = (route, upstream)
        logged = self._written[where] < _LINES_A_SECOND and self._written.total() < _LINES_A_SECOND_ALL
        if not logged:
            self._left_out[where] += 1
            if where in self.news or len(self.news) >= _NEWS_MAX:
                return
        phase, words = explain(error)
        if error.status is not None:
            words = f"It answered {error.status}: {printable(error.message)}"
        words = f"{phase or 'answer'}: {words or printable(error.message)}{note}"
        if where in self.news or len(self.news) < _NEWS_MAX:
            self.news[where] = UpstreamFailure(time.time(), error.kind.value, words)
        if logged:
            self._written[where] += 1
            log.warning(
                "upstream %s of route %s (%s) failed after %.2f s, %s [%s, request %s]",
                *(upstream, route, host_of(url), after_s, words, error.kind.value, request_id),
            )

    def _next_second(self) -> None:
        left_out, self._written, self._left_out = self._left_out, Counter(), Counter()
        for (route, upstream), count in left_out.items():
            log.warning("upstream %s of route %s: %d more failed attempts in that second", upstream, route, count)

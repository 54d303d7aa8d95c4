"""What an HTTP answer's status and headers say about a failure, whatever the format."""

from __future__ import annotations

import math
from collections.abc import Mapping

from adapters._errors import Kind

_KINDS = {
    400: Kind.INVALID_REQUEST,
    401: Kind.UPSTREAM_REJECTED_CREDENTIALS,
    402: Kind.QUOTA_EXHAUSTED,
    403: Kind.UPSTREAM_REJECTED_CREDENTIALS,
    404: Kind.UPSTREAM_NOT_FOUND,
    408: Kind.UPSTREAM_TIMEOUT,
    413: Kind.REQUEST_TOO_LARGE,
    429: Kind.RATE_LIMITED,
    504: Kind.UPSTREAM_TIMEOUT,
}

# Longer than any provider's window; a larger number is a mistake, not a wait.
_RETRY_AFTER_S_MAX = 24 * 3600.0


def kind_of_status(status: int) -> Kind:
    """The reason where the body does not say: other 4xx are the request's fault, 5xx the provider's, the rest is no answer."""
    if status in _KINDS:
        return _KINDS[status]
    if 400 <= status < 500:
        return Kind.INVALID_REQUEST
    return Kind.UPSTREAM_UNAVAILABLE if status >= 500 else Kind.UPSTREAM_PROTOCOL


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from retry-after-ms or retry-after. None without one, and for a date: adapters have no clock."""
    found: float | None = None
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            wait_s = float(headers.get(name, "")) / per_second
        except ValueError:
            continue
        if math.isfinite(wait_s) and wait_s >= 0:
            found = min(wait_s, _RETRY_AFTER_S_MAX)
        if found:  # Azure says 0 ms beside 1 s
            return found
    return found

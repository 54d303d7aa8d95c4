"""What status and headers of an HTTP answer say about a failure, in any format."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from adapters.errors import Kind

_KINDS = {
    400: Kind.INVALID_REQUEST,
    401: Kind.UPSTREAM_REJECTED_CREDENTIALS,
    402: Kind.QUOTA_EXHAUSTED,
    403: Kind.UPSTREAM_REJECTED_CREDENTIALS,
    404: Kind.UPSTREAM_NOT_FOUND,
    408: Kind.UPSTREAM_TIMEOUT,
    413: Kind.REQUEST_TOO_LARGE,
    429: Kind.RATE_LIMITED,
    498: Kind.UPSTREAM_UNAVAILABLE,  # Groq: no capacity for the flex tier
    504: Kind.UPSTREAM_TIMEOUT,
}

# Longer than any provider's window; a larger number is a mistake, not a wait.
_RETRY_AFTER_S_MAX = 24 * 3600.0


def kind_of_status(status: int) -> Kind:
    """The reason if the body gives none: other 4xx are the request's fault, 5xx the provider's, the rest is not an
    answer."""
    if status in _KINDS:
        return _KINDS[status]
    if 400 <= status < 500:
        return Kind.INVALID_REQUEST
    return Kind.UPSTREAM_UNAVAILABLE if status >= 500 else Kind.UPSTREAM_PROTOCOL


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: retry-after-ms, retry-after (seconds or a date), else until the exhausted limit resets.

    A date is relative to the answer's own `date` header, because adapters have no clock; None without that header.
    """
    found: float | None = None
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        wait_s = bounded_wait_s(_number(headers.get(name, "")), per_second)
        found = found if wait_s is None else wait_s
        if found:  # Azure sends 0 ms together with 1 s
            return found
    if found is None:
        found = _until(_date(headers.get("retry-after", "")), headers)
    return _until_reset(headers) if found is None else found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def bounded_wait_s(value: float | None, per_second: float = 1.0) -> float | None:
    """Seconds, at most what a provider can mean; None for anything that is not a wait."""
    if value is None or not math.isfinite(value) or value < 0:
        return None
    return min(value / per_second, _RETRY_AFTER_S_MAX)


def _date(text: str) -> datetime | None:
    """Parses an HTTP date (RFC 9110) or a timestamp (RFC 3339, Anthropic)."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text)
        except (ValueError, OverflowError):
            continue
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return None


def _until(moment: datetime | None, headers: Mapping[str, str]) -> float | None:
    now = _date(headers.get("date", ""))
    if moment is None or now is None:
        return None
    return bounded_wait_s(max(0.0, (moment - now).total_seconds()))


# Headers with the reset time of limits: OpenAI, Groq and Azure; Anthropic.
_LIMITS = tuple(
    (f"{prefix}{{}}-{what}", f"{prefix}{what}-{{}}")[prefix.startswith("anthropic")]
    for prefix in ("x-ratelimit-", "anthropic-ratelimit-")
    for what in ("requests", "tokens", "input-tokens", "output-tokens")
)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """The longest wait of the exhausted limits, all of which have to reset."""
    waits = []
    for name in _LIMITS:
        if headers.get(name.format("remaining")) == "0":
            text = headers.get(name.format("reset"), "")
            wait_s = bounded_wait_s(_duration(text)) if _date(text) is None else _until(_date(text), headers)
            if wait_s is not None:
                waits.append(wait_s)
    return max(waits, default=None)


def _duration(text: str) -> float | None:
    """Parses OpenAI's "6m0s", "120ms" and "1.5s"; a bare number is in seconds."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return _number(text)
    hours, minutes, seconds, milliseconds = (float(part) if part else 0.0 for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000

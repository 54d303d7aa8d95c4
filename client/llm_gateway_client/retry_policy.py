"""When a failed call is retried: only if the gateway allows it or nothing was sent, never after output, and not for
long.

The gateway has its own retries at the provider; a failure that "may be retried" here is one that those did not cure.
"""

from __future__ import annotations

import math
import random
import secrets
import time
from dataclasses import dataclass
from typing import Any

from llm_gateway_client.errors import RateLimited, SidecarError, Unavailable
from llm_gateway_client.requests import Call

_ID_BYTES = 16

# A second and a third attempt survive a restart or a burst; more would only add to an overload.
_ATTEMPTS_MAX = 3
# Longer than interactive users wait; a limit that resets later is up to the caller.
_WAIT_S_MAX = 10.0
_BACKOFF_S = 0.25
_BACKOFF_S_MAX = 4.0


@dataclass(frozen=True, slots=True)
class Retries:
    """`attempts_max` includes the first attempt: 1 turns retries off. `wait_s_max` bounds each wait."""

    attempts_max: int = _ATTEMPTS_MAX
    wait_s_max: float = _WAIT_S_MAX

    def wait_s(self, error: SidecarError, attempt: int, left_s: float, repeatable: bool = False) -> float | None:
        """Returns the seconds to wait before the next attempt; None for no further attempt.

        `attempt` counts from 1, `left_s` is the time left. `repeatable` calls only read, and may be repeated
        whatever became of the first attempt.
        """
        if attempt >= self.attempts_max or not (error.may_retry or (repeatable and isinstance(error, Unavailable))):
            return None
        wait_s = error.retry_after_s
        if wait_s is None:
            if isinstance(error, RateLimited):
                return None  # the wait is unknown
            wait_s = min(_BACKOFF_S * 2 ** (attempt - 1), _BACKOFF_S_MAX) * random.uniform(0.5, 1.0)
        return wait_s if wait_s <= self.wait_s_max and wait_s < left_s else None


RETRIES = Retries()


class Attempts:
    """The attempts of one call: its id, the time left, and whether and when to retry."""

    def __init__(self, call: Call[Any], retries: Retries, timeout_s: float) -> None:
        if not (timeout_s > 0 and math.isfinite(timeout_s)):
            raise ValueError("timeout_s must be a finite number of seconds above 0.")
        self.request_id = secrets.token_hex(_ID_BYTES)
        self._repeatable = call.repeatable
        self._retries = retries
        self._attempt = 0
        self._end_s = time.monotonic() + timeout_s

    def begin(self) -> float:
        """Returns the seconds left for the next attempt."""
        self._attempt += 1
        return max(0.001, self._end_s - time.monotonic())

    def wait_s(self, error: SidecarError) -> float:
        """Returns the seconds to wait before the next attempt. Raises the error if there is none."""
        wait_s = self._retries.wait_s(error, self._attempt, self._end_s - time.monotonic(), self._repeatable)
        if wait_s is None:
            raise error
        return wait_s

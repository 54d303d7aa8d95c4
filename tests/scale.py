"""One SCALE for the counts of load tests: CI runs a tenth, `make soak` (SCALE=1) the full figures."""

from __future__ import annotations

import os

SCALE = float(os.environ.get("SCALE", "0.1"))


def scaled(full: int, minimum: int = 1) -> int:
    """`full` at this run's scale, but never below what still shows the effect."""
    return max(minimum, round(full * SCALE))

"""Log lines for people, on stderr: time, level, text. Nothing logged anywhere holds a secret."""

from __future__ import annotations

import logging
import sys


def log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    # It tells at this level how many files changed; what came of it is told by ours.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)

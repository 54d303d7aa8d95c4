"""The period of a limit as text and in seconds: "minute" is 60, "10 minutes" 600. The single table for client and
gateway.

`seconds_of` and `text_of` are inverse: for every `seconds` of 1 and more, `seconds_of(text_of(seconds)) == seconds`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# A month and a year as in the `limits` library, from which MLflow takes its periods.
SECONDS: Final[Mapping[str, int]] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "month": 30 * 86_400,
    "year": 360 * 86_400,
}
WORDS: Final = f"{', '.join(list(SECONDS)[:-1])} or {list(SECONDS)[-1]}"
# The longest period of a limit: five years.
SECONDS_MAX: Final = 5 * SECONDS["year"]
# The number of digits of SECONDS_MAX, so that any period up to it can be written in seconds.
_PERIOD = re.compile(rf"(?:([0-9]{{1,9}}) *)?({'|'.join(SECONDS)})s?", re.IGNORECASE)


def seconds_of(text: str) -> int:
    """Parses "hour", "10 minutes", "2days"; ignores case and surrounding spaces. Raises ValueError for anything
    else, including zero of a unit ("0 days"). Does not enforce SECONDS_MAX."""
    match = _PERIOD.fullmatch(text.strip())
    seconds = int(match[1] or 1) * SECONDS[match[2].lower()] if match else 0
    if not seconds:
        raise ValueError(f'{text[:40]!r} is not a period: write {WORDS}, or a number of them such as "10 minutes".')
    return seconds


def text_of(seconds: int) -> str:
    """Uses the largest unit that fits: 60 is "minute", 600 "10 minutes", 90 "90 seconds". Raises ValueError below
    1."""
    if seconds < 1:
        raise ValueError(f"A period has 1 second or more, not {seconds}.")
    word, size = next(row for row in reversed(list(SECONDS.items())) if seconds % row[1] == 0)
    count = seconds // size
    return word if count == 1 else f"{count} {word}s"

"""The time of a limit as text and as seconds: "minute" is 60, "10 minutes" 600. The one table of the gateway.

`seconds_of` and `text_of` are inverse: for every `seconds` of 1 and more, `seconds_of(text_of(seconds)) == seconds`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# A month and a year as the `limits` library counts them, which MLflow takes its periods from.
SECONDS: Final[Mapping[str, int]] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "month": 30 * 86_400,
    "year": 360 * 86_400,
}
WORDS: Final = f"{', '.join(list(SECONDS)[:-1])} or {list(SECONDS)[-1]}"
# The longest time of a limit: five years, after which nobody remembers why it was set.
SECONDS_MAX: Final = 5 * SECONDS["year"]
# As many digits as SECONDS_MAX has, so that any time up to it can be written in seconds.
_PERIOD = re.compile(rf"(?:([0-9]{{1,9}}) *)?({'|'.join(SECONDS)})s?", re.IGNORECASE)


def seconds_of(text: str) -> int:
    """Of "hour", "10 minutes", "2days"; in any case, spaces around it do not matter. Raises ValueError for anything else, and
    for none of a unit ("0 days"). Does not apply SECONDS_MAX."""
    match = _PERIOD.fullmatch(text.strip())
    seconds = int(match[1] or 1) * SECONDS[match[2].lower()] if match else 0
    if not seconds:
        raise ValueError(f'{text[:40]!r} is not a period: write {WORDS}, or a number of them such as "10 minutes".')
    return seconds


def text_of(seconds: int) -> str:
    """In the largest unit that fits: 60 is "minute", 600 "10 minutes", 90 "90 seconds". Raises ValueError below 1."""
    if seconds < 1:
        raise ValueError(f"A period has 1 second or more, not {seconds}.")
    word, size = next(row for row in reversed(list(SECONDS.items())) if seconds % row[1] == 0)
    count = seconds // size
    return word if count == 1 else f"{count} {word}s"

"""Spend in memory that all workers share: a row per consumer and route, and the sums that budgets check.

Calls add to it when they end, without writing to disk. The supervisor reads the rows once a second (archive.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from sidecar.limits.table import Table, key_of
from sidecar.spend.calendar import Today

# Per row: it holds two days, an even and an odd one, so that the last second of yesterday can be read after
# midnight.
COUNTERS = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "micro_dollars",
    "unpriced_tokens",
    "estimated_tokens",
    "provider_micro_dollars",
)
_DAY_WORDS = 1 + len(COUNTERS)
_NAMES_AT = 2 * _DAY_WORDS + 1
# Both names of a row in UTF-8: a route and a user, at most 128 characters each.
_NAMES_BYTES_MAX = 640
_WIDTH = _NAMES_AT + _NAMES_BYTES_MAX // 8
# 6.7 MB. Rows of consumers without a call since yesterday are replaced.
_PAIR_ROWS = 8_192
# One sum per route, consumer and pair of both: at most three times as many. 1.6 MB.
_SUM_ROWS = 32_768
_DAY, _DAY_SPENT, _MONTH, _MONTH_SPENT = range(4)
# If more consumers call more routes in two days than there are rows, only the attribution of their spend is lost.
OTHER = "(other)"


class Charge(NamedTuple):
    """What one call adds, in the order of COUNTERS."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    micro_dollars: int = 0
    unpriced_tokens: int = 0
    estimated_tokens: int = 0
    provider_micro_dollars: int = 0  # as the providers reported, whatever was charged


class Line(NamedTuple):
    """What one consumer spent on one route in one day."""

    day: int
    consumer: str
    route: str
    counts: Charge


def route_key(route: str) -> bytes:
    return key_of("route", route)


def consumer_key(consumer: str) -> bytes:
    return key_of("consumer", consumer)


def pair_key(route: str, consumer: str) -> bytes:
    return key_of("both", route, consumer)


class Ledger:
    """Opened by each worker and by the supervisor. One thread per process may write; any may read."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError if the files cannot be opened."""
        self._pairs = Table(folder / "pairs", rows=_PAIR_ROWS, width=_WIDTH)
        self._sums = Table(folder / "sums", rows=_SUM_ROWS, width=4)
        self._keys: dict[tuple[str, str], tuple[bytes, bytes, bytes]] = {}
        self._pairs.lock()
        self._named_row(OTHER, OTHER, pair_key(OTHER, OTHER), 0)
        self._pairs.unlock()

    def add(self, route: str, consumer: str, charge: Charge, today: Today) -> None:
        """Adds to the row of the pair, and to the sums of route, consumer and pair."""
        keys = self._keys.get((route, consumer))
        if keys is None:
            keys = self._keys[route, consumer] = (route_key(route), consumer_key(consumer), pair_key(route, consumer))
        self._pairs.lock()
        try:
            self._add_to_pair(route, consumer, keys[2], charge, today.day)
            if charge.micro_dollars:
                for key in keys:
                    self._add_to_sum(key, charge.micro_dollars, charge.micro_dollars, today)
        finally:
            self._pairs.unlock()

    def restore(self, line: Line, today: Today) -> None:
        """Restores what an earlier run of the gateway archived this month."""
        route, consumer, money = line.route, line.consumer, line.counts.micro_dollars
        of_today = line.day == today.day
        self._pairs.lock()
        try:
            if of_today:
                self._add_to_pair(route, consumer, pair_key(route, consumer), line.counts, line.day)
            for key in (route_key(route), consumer_key(consumer), pair_key(route, consumer)):
                self._add_to_sum(key, money if of_today else 0, money, today)
        finally:
            self._pairs.unlock()

    def spent(self, key: bytes, per: Literal["day", "month"], today: Today) -> int:
        """Micro-dollars of this day or month. Needs no lock: the period is written after its sum was cleared."""
        row = self._sums.find(key)
        if row is None:
            return 0
        at = row * 4
        words = self._sums.words
        if per == "day":
            return words[at + _DAY_SPENT] if words[at + _DAY] == today.day else 0
        return words[at + _MONTH_SPENT] if words[at + _MONTH] == today.month else 0

    def sums(self, today: Today) -> Iterator[tuple[bytes, bool, int, int]]:
        """For every route, consumer and pair that spent something this month: key, whether it spent something
        today, and the micro-dollars of day and month."""
        words = self._sums.words
        for row in range(self._sums.used):
            at = row * 4
            if words[at + _MONTH] == today.month:
                is_today = words[at + _DAY] == today.day
                yield self._sums.key(row), is_today, words[at + _DAY_SPENT] if is_today else 0, words[at + _MONTH_SPENT]

    def lines(self) -> Iterator[Line]:
        """Returns all rows, at most two days of each pair.

        Takes no lock, because no worker should wait for it: a row is copied, and a day is valid if it was not reset
        meanwhile. A call that is just being added may be included in part; the next reading has all of it.
        """
        words = self._pairs.words
        for at in range(0, self._pairs.used * _WIDTH, _WIDTH):
            row = memoryview(bytes(words[at : at + _WIDTH])).cast("q")
            for day_at in (0, _DAY_WORDS):
                if row[day_at] and words[at + day_at] == row[day_at]:
                    yield _line_of(row, day_at)

    def close(self) -> None:
        self._pairs.close()
        self._sums.close()

    def _add_to_pair(self, route: str, consumer: str, key: bytes, charge: Charge, day: int) -> None:
        row = self._named_row(route, consumer, key, day)
        words = self._pairs.words
        at = row * _WIDTH + day % 2 * _DAY_WORDS
        if words[at] != day:
            words[at] = 0
            for word in range(at + 1, at + _DAY_WORDS):
                words[word] = 0
            words[at] = day
        for number in charge:
            at += 1
            if number:
                words[at] += number

    def _named_row(self, route: str, consumer: str, key: bytes, day: int) -> int:
        table = self._pairs
        row = table.find(key)
        if row is not None:
            return row
        names = _packed(route, consumer)
        row = table.claim(key) if names is not None else 0
        if row is None and (row := self._idle_row(day)) is not None:
            table.give(row, key)
        if row is None or names is None:
            return 0  # the row of OTHER, which was created first
        length, text = names
        at = row * _WIDTH + _NAMES_AT
        table.words[at : at + len(text) // 8] = memoryview(text).cast("q")
        table.words[at - 1] = length
        return row

    def _idle_row(self, day: int) -> int | None:
        words = self._pairs.words
        for row in range(1, self._pairs.rows):
            at = row * _WIDTH
            if words[at] < day - 1 and words[at + _DAY_WORDS] < day - 1:
                return row
        return None

    def _add_to_sum(self, key: bytes, of_day: int, of_month: int, today: Today) -> None:
        row = self._sum_row(key, today)
        if row is None:
            return
        words, at = self._sums.words, row * 4
        for period, spent, now, money in (
            (_DAY, _DAY_SPENT, today.day, of_day),
            (_MONTH, _MONTH_SPENT, today.month, of_month),
        ):
            if words[at + period] != now:
                words[at + spent] = 0
                words[at + period] = now
            words[at + spent] += money

    def _sum_row(self, key: bytes, today: Today) -> int | None:
        table = self._sums
        row = table.claim(key)
        if row is None:
            row = next((each for each in range(table.rows) if table.words[each * 4 + _MONTH] != today.month), None)
            if row is not None:
                table.give(row, key)
        return row


def _packed(route: str, consumer: str) -> tuple[int, bytes] | None:
    """Encodes both lengths in one word, and the text in whole words; None if it is too long."""
    first, second = route.encode("utf-8", "replace"), consumer.encode("utf-8", "replace")
    text = first + second
    if len(text) > _NAMES_BYTES_MAX:
        return None
    return len(first) << 16 | len(second), text.ljust(-(-len(text) // 8) * 8, b"\0")


def _line_of(row: memoryview, day_at: int) -> Line:
    length = row[_NAMES_AT - 1]
    split, end = length >> 16, (length >> 16) + (length & 0xFFFF)
    text = bytes(row[_NAMES_AT:])
    route, consumer = text[:split].decode("utf-8", "replace"), text[split:end].decode("utf-8", "replace")
    return Line(row[day_at], consumer, route, Charge(*row[day_at + 1 : day_at + _DAY_WORDS]))

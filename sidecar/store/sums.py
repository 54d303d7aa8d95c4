"""Writes the sums of budgets to the store: sets missing ones, and raises those that are below the ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from sidecar.spend.budgets import Allowance
from sidecar.spend.calendar import Today
from sidecar.spend.ledger import Ledger
from sidecar.store.line import Line, answer
from sidecar.store.operations import sum_name

_DAY_MS, _MONTH_MS = 172_800_000, 3_456_000_000
# Months count from year 0 here, and from 1970 in the script.
_MONTHS_BEFORE_1970 = 1970 * 12
_RAISED_MAX = 500
# Arguments: name, kind, period, micro-dollars for each sum. Does nothing around midnight if the clocks of this
# machine and the server disagree about the day.
_RAISE = """
if math.floor(redis.call('TIME')[1] / 86400) ~= tonumber(ARGV[1]) then return 0 end
local raised = 0
for i = 2, #ARGV, 4 do
  local key, period, spent = KEYS[1] .. ARGV[i], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local of, known, held = string.match(redis.call('GET', key) or '0 0 0', '^(%S+) (%S+) (%S+)$')
  if not tonumber(of) or not tonumber(known) or not tonumber(held) then of, known, held = '0', '-1', '0' end
  if tonumber(of) < period then known = '0' end
  if tonumber(of) <= period and tonumber(known) < spent then
    redis.call('SET', key, string.format('%.0f %.0f %s', period, spent, held), 'PX', ARGV[i + 1])
    raised = raised + 1
  end
end
return raised"""


async def set_sums(line: Line, prefix: bytes, ledger: Ledger, today: Today) -> None:
    """Sets the sums of every route, consumer and pair that spent something this month, in a store that has lost
    them."""
    for key, is_today, of_day, of_month in ledger.sums(today):
        if is_today:
            await answer(line, "SET", _name(prefix, key, "day"), f"{today.day} {of_day} 0", "PX", _DAY_MS)
        text = f"{period_of('month', today)} {of_month} 0"
        await answer(line, "SET", _name(prefix, key, "month"), text, "PX", _MONTH_MS)


async def raise_sums(line: Line, prefix: bytes, ledger: Ledger, budgets: Iterable[Allowance], today: Today) -> None:
    """Raises those of `budgets` that are below the ledger, because no configuration had them for a while."""
    words: list[str | int] = []
    for each in budgets:
        spent = ledger.spent(each.key, each.per, today)
        if spent:
            kept_ms = _DAY_MS if each.per == "day" else _MONTH_MS
            words += (sum_name(each.key, each.per), kept_ms, period_of(each.per, today), spent)
    for at in range(0, len(words), 4 * _RAISED_MAX):
        await answer(line, "EVAL", _RAISE, 1, prefix, today.day, *words[at : at + 4 * _RAISED_MAX])


def period_of(per: Literal["day", "month"], today: Today) -> int:
    """As the script counts it."""
    return today.day if per == "day" else today.month - _MONTHS_BEFORE_1970


def _name(prefix: bytes, key: bytes, per: str) -> bytes:
    return prefix + sum_name(key, per).encode()
